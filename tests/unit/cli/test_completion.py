"""Completion: from the declarations of the commands, and with the names that the server has now."""

from __future__ import annotations

import pytest

from pvc.cli.registry import COMMANDS
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI


def offered(pvc: PVC, *words: str) -> list[str]:
    result = pvc("--complete", *words)
    assert (result.returncode, result.stderr) == (0, "")
    return [line.partition("\t")[0] for line in result.stdout.splitlines() if line]


def test_commands_and_groups_are_offered_where_they_may_stand(pvc: PVC, api: FakeAPI) -> None:
    top = {name.partition(" ")[0] for name in COMMANDS}
    assert set(offered(pvc, "")) == {*top, "serve", "agent"}
    assert offered(pvc, "vm", "mem") == ["memory"]
    assert offered(pvc, "vm", "memory", "") == ["get", "set"]
    assert offered(pvc, "vm", "nonsense", "") == []
    assert api.requests == []


def test_options_are_offered_with_what_they_mean(pvc: PVC) -> None:
    assert "--without-tag\tthose without this tag; may be repeated\n" in pvc("--complete", "vm", "list", "--w").stdout
    assert offered(pvc, "vm", "list", "--format", "") == ["table", "json", "yaml", "csv", "raw"]
    assert offered(pvc, "vm", "info", "--format", "") == ["table", "json", "yaml"]
    assert offered(pvc, "doctor", "") == ["serve", "agent", "client"]
    assert offered(pvc, "storage", "volume", "upload", "-f", "v") == ["vmdk", "vdi", "vpc", "vhdx"]


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("vm start ", {"kind": ["vm"]}),
        ("vm start w", {"kind": ["vm"], "prefix": ["w"]}),
        ("vm start web1 d", {"kind": ["vm"], "prefix": ["d"]}),
        ("vm migrate web1 -t ", {"kind": ["node"]}),
        ("vm migrate web1 --target=h", {"kind": ["node"], "prefix": ["h"]}),
        ("network info ", {"kind": ["network"]}),
        ("storage volume add ", {"kind": ["pool"]}),
        ("storage volume info fast d", {"kind": ["volume"], "prefix": ["d"], "pool": ["fast"]}),
        ("vm volume add web1 fast/d", {"kind": ["volume"], "prefix": ["fast/d"]}),
        ("vm list -g ", {"kind": ["tag"]}),
        ("provisioner ova info ", {"kind": ["ova"]}),
        ("task show ", {"kind": ["task"]}),
    ],
)
def test_no_more_names_are_asked_for_than_can_be_meant(
    pvc: PVC, api: FakeAPI, line: str, asked: dict[str, list[str]]
) -> None:
    *_, current = line.split(" ")
    option, equals, begun = current.rpartition("=")
    api.tell("GET /names", Answer({"names": [f"{begun}1"], "more": False}))
    assert offered(pvc, *line.split(" ")) == [f"{option}{equals}{begun}1"]
    assert (api.request.path, api.request.query) == ("/names", asked)


@pytest.mark.parametrize(
    ("line", "path", "answer", "names"),
    [
        ("token remove ", "/tokens", [{"name": "ops"}], ["ops"]),
        ("storage osd out ", "/storage/ceph/osd", [{"id": "3"}], ["3"]),
        ("task rollback ", "/generations", [{"generation": "2"}], ["2"]),
    ],
)
def test_names_of_which_there_are_few_come_from_their_list(
    pvc: PVC, api: FakeAPI, line: str, path: str, answer: list[dict[str, str]], names: list[str]
) -> None:
    api.tell(f"GET {path}", Answer(answer))
    assert offered(pvc, *line.split(" ")) == names


def test_values_may_follow_an_equals_sign(pvc: PVC) -> None:
    assert offered(pvc, "vm", "list", "--format=j") == ["--format=json"]
    assert offered(pvc, "vm", "list", "--nonsense=j") == []


def test_the_server_that_the_line_names_is_asked(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /names", Answer({"names": ["web1"], "more": False}))
    result = pvc("--complete", "-c", api.url, "vm", "info", "", environment={"PVC_URL": "unix:/nowhere"})
    assert result.stdout == "web1\tvm\n"


def test_files_are_left_to_the_shell(pvc: PVC) -> None:
    assert offered(pvc, "vm", "define", "") == [":files"]
    assert offered(pvc, "vm", "list", "--ca", "") == [":files"]


@pytest.mark.parametrize("url", ["unix:/nowhere", "nonsense", "http://127.0.0.1:1"])
def test_without_a_server_nothing_is_offered_and_nothing_is_said(pvc: PVC, url: str) -> None:
    result = pvc("--complete", "vm", "info", "", environment={"PVC_URL": url})
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "", "")


def test_a_server_that_does_not_answer_is_not_waited_for(pvc: PVC, api: FakeAPI) -> None:
    api.hold("GET /names", until="GET /never")
    result = pvc("--complete", "vm", "info", "", environment={"PVC_COMPLETION_S": ""})
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "", "")


def test_a_refusal_is_nothing_to_tell_somebody_who_has_not_finished(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /names", Answer({"message": "No.", "code": "unauthenticated"}, 401))
    assert offered(pvc, "vm", "info", "") == []
