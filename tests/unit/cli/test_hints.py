"""What may have been meant: by a name that does not exist, a command or an option."""

from __future__ import annotations

import pytest

from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI


@pytest.mark.parametrize(
    ("line", "kind", "name", "like"),
    [
        ("vm info WEB1", "VM", "WEB1", "web1"),
        ("node info hv11", "node", "hv11", "hv1"),
        ("network info 1000", "network", "1000", "100"),
        ("storage pool remove locla -y", "pool", "locla", "local"),
        ("storage volume info local wbe1", "volume", "local/wbe1", "local/web1"),
        ("vm tag remove web1 bleu", "tag", "bleu", "blue"),
        ("task show abcd", "task", "abcd", "abce"),
        ("provisioner ova info ap", "OVA", "ap", "app"),
        ("provisioner ova define x ap", "OVA", "ap", "app"),
    ],
)
def test_what_is_unknown_is_told_with_those_like_it(
    pvc: PVC, api: FakeAPI, line: str, kind: str, name: str, like: str
) -> None:
    fields = {"kind": kind, "name": name}
    refusal = Answer({"message": f'No {kind} "{name}".', "code": "not_found", "fields": fields}, 404)
    api.answers.clear()
    api.otherwise = refusal
    api.tell("GET /names", Answer({"names": ["entirely-other", like], "more": False}))
    result = pvc(*line.split(" "))
    assert (result.returncode, result.stderr) == (3, f'No {kind} "{name}". Similar: "{like}".\n')
    assert api.requests[-1].query == {"kind": [kind.lower()], "most": ["10000"]}


@pytest.mark.parametrize(
    ("line", "path", "answer", "told"),
    [
        ("token remove opps -y", "/tokens", [{"name": "ops"}], 'No token "opps". Similar: "ops".\n'),
        ("storage osd out 11", "/storage/ceph/osd", [{"id": "1"}], 'No OSD "11". Similar: "1".\n'),
    ],
)
def test_so_is_that_of_which_there_is_only_a_list(
    pvc: PVC, api: FakeAPI, line: str, path: str, answer: list[dict[str, str]], told: str
) -> None:
    _, kind, name, *_ = told.replace('"', "").replace(".", "").split()
    fields = {"kind": kind, "name": name}
    api.otherwise = Answer({"message": f'No {kind} "{name}".', "code": "not_found", "fields": fields}, 404)
    api.tell(f"GET {path}", Answer(answer))
    assert pvc(*line.split(" ")).stderr == told


def test_a_pool_that_is_given_as_the_name_of_a_volume_is_seen(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /storage/ceph/volume", Answer([]))
    api.tell("GET /names", Answer({"names": ["local"], "more": False}))
    told = 'No volume is called like the pool "local": its volumes are listed by "-p local".\n'
    assert pvc("storage", "volume", "list", "local").stderr == told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("vm strat web1", 'No command "vm strat": did you mean "pvc vm start"?'),
        ("vm delete web1", 'No command "vm delete": did you mean "pvc vm undefine" or "pvc vm remove"?'),
        ("vm create web1", 'No command "vm create": did you mean "pvc vm define"?'),
        ("vm show web1", 'No command "vm show": did you mean "pvc vm info" or "pvc vm list"?'),
        ("storage volume rm local web1", 'No command "storage volume rm": did you mean "pvc storage volume remove"?'),
        ("volume list", 'No command "volume": did you mean "pvc vm volume" or "pvc storage volume"?'),
        ("vm help", 'No command "vm help": see "pvc vm --help".'),
        ("strat web1", 'No command "strat": did you mean "pvc status"?'),
        (
            "vm list --colums",
            'Option "--colums" is not known here: did you mean "--columns"? See "pvc vm list --help".',
        ),
        ("vm console web1", 'There is no interactive console yet; "pvc vm log VM -f" reads it.'),
        (
            "storage osd add hv1 /dev/sdb",
            "Making, replacing and removing OSDs is not part of this version of pvc: Ceph's own tools do it.",
        ),
        ("provisioner template list", "Of the provisioner this version of pvc has OVAs only."),
        (
            "vm meta web1",
            "Nothing to change: give one of -l, -s, --autostart, -p, -m and --max-downtime.",
        ),
        ("node list a b", '"b" is more than this takes; see "pvc node list --help".'),
        ("vm list --frobnicate", 'Option "--frobnicate" is not known here; see "pvc vm list --help".'),
    ],
)
def test_what_is_mistyped_is_told_with_what_may_have_been_meant(pvc: PVC, line: str, told: str) -> None:
    result = pvc(*line.split(" "))
    assert (result.returncode, result.stderr) == (2, f"{told}\n")


def test_where_nothing_is_like_it_nothing_is_added(pvc: PVC, api: FakeAPI) -> None:
    refusal = {"message": 'No node "x".', "code": "not_found", "fields": {"kind": "node", "name": "x"}}
    api.tell("DELETE /node/x", Answer(refusal, 404))
    api.tell("GET /names", Answer({"message": "Away.", "code": "store_unavailable"}, 503))
    assert pvc("node", "remove", "x", "-y").stderr == 'No node "x".\n'
