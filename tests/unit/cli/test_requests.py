"""What each command asks the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.answers import TASK_ID
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI

VOLUME = "/storage/ceph/volume/local/web1"
SNAPSHOT = "/storage/ceph/snapshot/local/web1/s1"

READS: list[tuple[str, str, dict[str, str]]] = [
    ("status", "/status", {}),
    ("node list", "/node", {}),
    ("node list hv.", "/node", {"limit": "hv."}),
    ("node info hv1", "/node/hv1", {}),
    ("node log hv1", "/node/hv1/log", {}),
    ("node flush hv1 --plan", "/node/hv1/flush-plan", {}),
    ("node log hv1 -l 20 -f", "/node/hv1/log", {"lines": "20", "follow": "true"}),
    ("vm list", "/vm", {}),
    (
        "vm list ^web -t hv1 -s start -g a -n",
        "/vm",
        {"limit": "^web", "node": "hv1", "state": "start", "tag": "a", "negate": "true"},
    ),
    ("vm info web1", "/vm/web1", {}),
    ("vm dump web1", "/vm/web1", {}),
    ("vm log web1", "/vm/web1/console", {}),
    ("vm log web1 -l 20", "/vm/web1/console", {"lines": "20"}),
    ("vm log web1 -l 20 -f", "/vm/web1/console", {"lines": "20", "follow": "true"}),
    ("vm flush-locks web1 --list", "/vm/web1/locks", {}),
    ("vm tag get web1", "/vm/web1/tags", {}),
    ("vm tag list web1", "/vm/web1/tags", {}),
    ("vm network list web1", "/vm/web1/network", {}),
    ("vm volume list web1", "/vm/web1/volume", {}),
    ("--format json vm list", "/vm", {}),
    ("-f json vm list", "/vm", {}),
    ("vm vcpu get web1", "/vm/web1/vcpu", {}),
    ("vm memory get web1", "/vm/web1/memory", {}),
    ("vm network get web1", "/vm/web1/network", {}),
    ("vm volume get web1", "/vm/web1/volume", {}),
    ("network list", "/network", {}),
    ("network info 100", "/network/100", {}),
    ("storage status", "/storage/ceph/status", {}),
    ("storage util", "/storage/ceph/utilization", {}),
    ("storage osd list", "/storage/ceph/osd", {}),
    ("storage osd list 0", "/storage/ceph/osd", {"limit": "0"}),
    ("storage pool list", "/storage/ceph/pool", {}),
    ("storage volume list w -p local", "/storage/ceph/volume", {"limit": "w", "pool": "local"}),
    ("storage volume info local web1", VOLUME, {}),
    ("storage snapshot list", "/storage/ceph/snapshot", {}),
    ("storage snapshot list local web1", "/storage/ceph/snapshot", {"pool": "local", "volume": "web1"}),
    ("provisioner ova list", "/provisioner/ova", {}),
    ("provisioner ova list a", "/provisioner/ova", {"limit": "a"}),
    ("provisioner ova info app", "/provisioner/ova/app", {}),
    ("task list", "/tasks", {}),
    ("token list", "/tokens", {}),
    ("task backup", "/backup", {}),
    ("task generation list", "/generations", {}),
    ("task list --kind upload --status done", "/tasks", {"kind": "upload", "status": "done"}),
    (f"task show {TASK_ID}", f"/tasks/{TASK_ID}", {}),
    (f"task wait {TASK_ID}", f"/tasks/{TASK_ID}", {}),
    ("task list web", "/tasks", {"limit": "web"}),
]


@pytest.mark.parametrize(("line", "path", "query"), READS, ids=[line for line, _, _ in READS])
def test_a_read_asks_for_its_path_with_what_was_given(
    pvc: PVC, api: FakeAPI, line: str, path: str, query: dict[str, str]
) -> None:
    result = pvc(*line.split())
    assert (result.returncode, result.stderr) == (0, "")
    assert (api.request.method, api.request.path) == ("GET", path)
    assert api.request.query == {name: [value] for name, value in query.items()}
    assert api.request.body == b""


def test_filters_by_tag_may_be_repeated(pvc: PVC, api: FakeAPI) -> None:
    line = "vm list -g a -g b --any-tag c --any-tag d --without-tag e"
    result = pvc(*line.split())
    assert (result.returncode, result.stderr) == (0, "")
    assert api.request.query == {"tag": ["a", "b"], "any_tag": ["c", "d"], "without_tag": ["e"]}


CHANGES: list[tuple[str, str, str, Any]] = [
    ("vm flush-locks web1", "POST", "/vm/web1/locks", None),
    ("node flush hv1", "POST", "/node/hv1/domain-state", {"state": "flush"}),
    ("node ready hv1 --no-wait", "POST", "/node/hv1/domain-state", {"state": "ready"}),
    ("vm rename web1 www1", "POST", "/vm/web1/rename", {"new_name": "www1"}),
    ("vm start web1", "POST", "/vm/web1/state", {"state": "start", "wait": True}),
    ("vm start web1 --no-wait", "POST", "/vm/web1/state", {"state": "start", "wait": False}),
    ("vm restart web1 --timeout 5", "POST", "/vm/web1/state", {"state": "restart", "wait": True, "timeout": 5.0}),
    ("vm stop web1", "POST", "/vm/web1/state", {"state": "stop", "wait": True}),
    ("vm shutdown web1 --timeout 60", "POST", "/vm/web1/state", {"state": "shutdown", "wait": True, "timeout": 60.0}),
    ("vm disable web1", "POST", "/vm/web1/state", {"state": "disable", "force": False, "wait": True}),
    ("vm disable web1 --force", "POST", "/vm/web1/state", {"state": "disable", "force": True, "wait": True}),
    (
        "vm migrate web1 -t hv2 --force",
        "POST",
        "/vm/web1/node",
        {"action": "migrate", "node": "hv2", "force": True, "force_live": False},
    ),
    (
        "vm migrate web1 --force-live --no-wait",
        "POST",
        "/vm/web1/node",
        {"action": "migrate", "force": False, "force_live": True},
    ),
    ("vm unmigrate web1", "POST", "/vm/web1/node", {"action": "unmigrate", "force_live": False}),
    ("vm move web1 -t hv3", "POST", "/vm/web1/node", {"action": "move", "node": "hv3", "force_live": False}),
    (f"task cancel {TASK_ID}", "POST", f"/tasks/{TASK_ID}", {"action": "cancel"}),
    ("vm undefine web1 -y", "DELETE", "/vm/web1", {"wait": ["false"]}),
    ("vm remove web1 -y", "DELETE", "/vm/web1", {"delete_disks": ["true"], "wait": ["false"]}),
    ("vm remove web1 --dry-run", "DELETE", "/vm/web1", {"delete_disks": ["true"], "dry_run": ["true"]}),
    ("vm undefine web1 --dry-run", "DELETE", "/vm/web1", {"dry_run": ["true"]}),
    ("vm tag add web1 a", "POST", "/vm/web1/tags", {"action": "add", "tag": "a", "protected": False}),
    ("vm tag add web1 a -p", "POST", "/vm/web1/tags", {"action": "add", "tag": "a", "protected": True}),
    ("vm tag unprotect web1 a", "POST", "/vm/web1/tags", {"action": "unprotect", "tag": "a"}),
    ("vm tag remove web1 a", "POST", "/vm/web1/tags", {"action": "remove", "tag": "a"}),
    ("vm network add web1 100", "POST", "/vm/web1/network", {"net": "100"}),
    (
        "vm network add web1 100 -a 52:54:00:00:00:09 -m e1000 --no-live",
        "POST",
        "/vm/web1/network",
        {"net": "100", "mac": "52:54:00:00:00:09", "model": "e1000", "live": False},
    ),
    ("vm network remove web1 100 --live", "DELETE", "/vm/web1/network", {"net": ["100"], "live": ["true"]}),
    ("vm network remove web1 52:54:00:00:00:01", "DELETE", "/vm/web1/network", {"mac": ["52:54:00:00:00:01"]}),
    ("vm network remove web1 -a 52:54:00:00:00:01", "DELETE", "/vm/web1/network", {"mac": ["52:54:00:00:00:01"]}),
    ("vm volume add web1 local/d1", "POST", "/vm/web1/volume", {"volume": "local/d1"}),
    (
        "vm volume add web1 local/d1 -d vdc -b virtio --live",
        "POST",
        "/vm/web1/volume",
        {"volume": "local/d1", "disk_id": "vdc", "bus": "virtio", "live": True},
    ),
    (
        "vm volume remove web1 local/d1 --no-live",
        "DELETE",
        "/vm/web1/volume",
        {"volume": ["local/d1"], "live": ["false"]},
    ),
    (
        "vm volume add web1 local/d1 --restart",
        "POST",
        "/vm/web1/volume",
        {"volume": "local/d1", "restart": True},
    ),
    ("vm network add web1 100 --restart", "POST", "/vm/web1/network", {"net": "100", "restart": True}),
    ("vm network remove web1 100 --restart", "DELETE", "/vm/web1/network", {"net": ["100"], "restart": ["true"]}),
    ("vm vcpu set web1 4", "POST", "/vm/web1/vcpu", {"vcpu": 4}),
    (
        "vm vcpu set web1 4 --topology 1/4/1 --restart",
        "POST",
        "/vm/web1/vcpu",
        {"vcpu": 4, "topology": "1/4/1", "restart": True},
    ),
    ("vm memory set web1 4G", "POST", "/vm/web1/memory", {"memory": "4G"}),
    ("vm memory set web1 4096 --restart", "POST", "/vm/web1/memory", {"memory": "4096", "restart": True}),
    ("network add 100 -d servers", "POST", "/network", {"vni": 100, "description": "servers", "nettype": "bridged"}),
    (
        "network add 100 -d servers -p bridged -b br0 -m 9000",
        "POST",
        "/network",
        {"vni": 100, "description": "servers", "nettype": "bridged", "bridge": "br0", "mtu": 9000},
    ),
    ("network modify 100 -d lan -m 9000", "PUT", "/network/100", {"description": "lan", "mtu": 9000}),
    ("vm meta web1 -m live", "POST", "/vm/web1/meta", {"migration_method": "live"}),
    ("vm meta web1 --max-downtime 50", "POST", "/vm/web1/meta", {"migration_max_downtime": 50}),
    (
        "vm meta web1 -l hv1 -l hv2 -s mem --no-autostart -p web",
        "POST",
        "/vm/web1/meta",
        {"limit": ["hv1", "hv2"], "selector": "mem", "autostart": False, "profile": "web"},
    ),
    ("network remove 100 -y", "DELETE", "/network/100", {}),
    ("provisioner ova remove app -y", "DELETE", "/provisioner/ova/app", {"wait": ["false"]}),
    (
        "provisioner ova define web1 app --network lan=100 --network dmz=200 -t hv1",
        "POST",
        "/provisioner/ova/app/define",
        {"name": "web1", "network": ["lan=100", "dmz=200"], "node": "hv1", "wait": False},
    ),
    ("token remove ops -y", "DELETE", "/tokens/ops", {}),
    ("node remove hv3 -y", "DELETE", "/node/hv3", {}),
    (
        "storage pool add fast 64",
        "POST",
        "/storage/ceph/pool",
        {"pool": "fast", "pgs": 64, "replcfg": "copies=3,mincopies=2"},
    ),
    (
        "storage pool add fast 64 --tier nvme --replcfg copies=2,mincopies=1",
        "POST",
        "/storage/ceph/pool",
        {"pool": "fast", "pgs": 64, "replcfg": "copies=2,mincopies=1", "tier": "nvme"},
    ),
    ("storage pool set-pgs fast 128", "PUT", "/storage/ceph/pool/fast", {"pgs": 128}),
    (
        "storage pool remove fast -y",
        "DELETE",
        "/storage/ceph/pool/fast",
        {"yes-i-really-mean-it": ["yes"], "wait": ["false"]},
    ),
    ("storage pool remove fast --dry-run", "DELETE", "/storage/ceph/pool/fast", {"dry_run": ["true"]}),
    ("storage osd out 0", "POST", "/storage/ceph/osd/0/state", {"state": "out"}),
    ("storage osd in 0", "POST", "/storage/ceph/osd/0/state", {"state": "in"}),
    ("storage osd set noout", "POST", "/storage/ceph/option", {"option": "noout", "action": "set"}),
    ("storage osd unset noout", "POST", "/storage/ceph/option", {"option": "noout", "action": "unset"}),
    (
        "storage volume add local web1 10G",
        "POST",
        "/storage/ceph/volume",
        {"pool": "local", "volume": "web1", "size": "10G"},
    ),
    ("storage volume resize local web1 20G", "PUT", VOLUME, {"new_size": "20G", "force": False, "wait": False}),
    ("storage volume resize local web1 1G --force", "PUT", VOLUME, {"new_size": "1G", "force": True, "wait": False}),
    ("storage volume rename local web1 www1", "PUT", VOLUME, {"new_name": "www1"}),
    ("storage volume clone local web1 web2", "POST", f"{VOLUME}/clone", {"new_volume": "web2", "wait": False}),
    ("storage volume remove local web1 -y", "DELETE", VOLUME, {"wait": ["false"]}),
    ("storage snapshot add local web1 s1", "POST", SNAPSHOT, {"wait": False}),
    ("storage snapshot rename local web1 s1 s2", "PUT", SNAPSHOT, {"new_name": "s2"}),
    ("storage snapshot rollback local web1 s1 -y", "POST", f"{SNAPSHOT}/rollback", {"wait": False}),
    ("storage snapshot remove local web1 s1 -y", "DELETE", SNAPSHOT, {"wait": ["false"]}),
]


@pytest.mark.parametrize(("line", "method", "path", "parameters"), CHANGES, ids=[line for line, *_ in CHANGES])
def test_a_change_is_asked_for_and_the_answer_printed(
    pvc: PVC, api: FakeAPI, line: str, method: str, path: str, parameters: Any
) -> None:
    result = pvc(*line.split())
    assert (result.returncode, result.stdout, result.stderr) == (0, "Done.\n", "")
    assert (api.request.method, api.request.path) == (method, path)
    assert (api.request.query if method == "DELETE" else api.request.json) == parameters


@pytest.mark.parametrize("noun", ["network", "volume"])
@pytest.mark.parametrize("verb", ["add", "remove"])
@pytest.mark.parametrize("pair", ["--live --no-live", "--live --restart", "--restart --no-live"])
def test_a_change_reaches_the_guest_in_one_way(pvc: PVC, api: FakeAPI, noun: str, verb: str, pair: str) -> None:
    result = pvc("vm", noun, verb, "web1", "x/y", *pair.split())
    assert (result.returncode, result.stdout) == (2, "")
    assert "not allowed with argument" in result.stderr
    assert api.requests == []


def test_a_new_token_is_all_that_stdout_gets(pvc: PVC, api: FakeAPI) -> None:
    api.tell("POST /tokens", Answer({"message": "Made it.", "token": "abc"}))
    result = pvc("token", "add", "ops", "-r", "read")
    assert (result.returncode, result.stdout, result.stderr) == (0, "abc\n", "Made it.\n")
    assert api.request.json == {"name": "ops", "role": "read"}


def test_define_sends_the_document_with_every_option(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    file = tmp_path / "web1.xml"
    file.write_text("<domain>ü</domain>")
    options = "-t hv1 --selector mem --autostart -m live -g a -g b -G c"
    assert pvc("vm", "define", str(file), *options.split()).stdout == "Done.\n"
    assert (api.request.method, api.request.path) == ("POST", "/vm")
    assert api.request.json == {
        "xml": "<domain>ü</domain>",
        "node": "hv1",
        "selector": "mem",
        "autostart": True,
        "migration_method": "live",
        "user_tags": ["a", "b"],
        "protected_tags": ["c"],
    }


def test_define_reads_stdin_and_leaves_out_what_was_not_given(pvc: PVC, api: FakeAPI) -> None:
    assert pvc("vm", "define", "-", text=b"<domain/>").returncode == 0
    assert api.request.json == {"xml": "<domain/>"}


def test_modify_shows_the_difference_only_when_asked_to(pvc: PVC, api: FakeAPI) -> None:
    api.tell("PUT /vm/web1", Answer({"message": "Would change.", "diff": "-old\n+new\n"}))
    result = pvc("vm", "modify", "web1", "-", "--dry-run", text=b"<domain/>")
    assert (result.returncode, result.stdout) == (0, "-old\n+new\nWould change.\n")
    assert api.request.json == {"xml": "<domain/>", "restart": False, "dry_run": True}


def test_modify_with_yes_asks_once(pvc: PVC, api: FakeAPI) -> None:
    api.tell("PUT /vm/web1", Answer({"message": "Changed.", "diff": "-old\n+new\n"}))
    result = pvc("vm", "modify", "web1", "-", "--restart", "-y", text=b"<domain/>")
    assert (result.returncode, result.stdout) == (0, "-old\n+new\nChanged.\n")
    assert api.request.json == {"xml": "<domain/>", "restart": True}


def test_modify_that_changes_nothing_asks_nobody(pvc: PVC, api: FakeAPI) -> None:
    api.tell("PUT /vm/web1", Answer({"message": "Nothing changes.", "diff": ""}))
    result = pvc("vm", "modify", "web1", "-", text=b"<domain/>")
    assert (result.returncode, result.stdout) == (0, "Nothing changes.\n")
    assert api.request.json["dry_run"] is True


def test_every_vm_of_a_list_is_asked_though_one_refuses(pvc: PVC, api: FakeAPI) -> None:
    refusal = {"message": 'No VM "b".', "code": "not_found", "fields": {}}
    api.tell("POST /vm/b/state", Answer(refusal, status=404))
    result = pvc("vm", "start", "a", "b", "c")
    assert [request.path for request in api.requests] == ["/vm/a/state", "/vm/b/state", "/vm/c/state"]
    assert result.stdout == "Done.\nDone.\n"
    assert result.stderr == 'No VM "b".\n1 of 3 VMs could not be asked.\n'
    assert result.returncode == 3


def test_a_name_cannot_reach_another_resource(pvc: PVC, api: FakeAPI) -> None:
    pvc("vm", "undefine", "../storage/ceph/pool?x=1#", "-y")
    assert api.request.path == "/vm/..%2Fstorage%2Fceph%2Fpool%3Fx%3D1%23"
    assert api.request.query == {"wait": ["false"]}


def test_wait_polls_until_the_task_has_ended(pvc: PVC, api: FakeAPI) -> None:
    path = f"/tasks/{TASK_ID}"
    running = {"id": TASK_ID, "status": "running", "kind": "clone", "phase": "copying", "done": 0, "total": 1024}
    api.tell(
        f"GET {path}",
        Answer({**running, "version": 1}),
        Answer({**running, "version": 2, "done": 512}),
        Answer({**running, "version": 3, "status": "done", "result": "Cloned."}),
    )
    result = pvc("task", "wait", TASK_ID)
    assert (result.returncode, result.stdout) == (0, "Cloned.\n")
    assert [request.query.get("after") for request in api.requests] == [None, ["1"], ["2"]]
    assert result.stderr.startswith("copying: 1K\ncopying: 1K in ")


@pytest.mark.parametrize(
    ("task", "code", "text"),
    [
        ({"status": "failed", "problem": {"code": "conversion_failed", "message": "No."}}, 7, "No.\n"),
        ({"status": "cancelled", "problem": {}}, 8, f'The task "{TASK_ID}" was cancelled.\n'),
    ],
)
def test_waiting_for_a_task_that_fails_fails_alike(
    pvc: PVC, api: FakeAPI, task: dict[str, Any], code: int, text: str
) -> None:
    api.tell(f"GET /tasks/{TASK_ID}", Answer({"id": TASK_ID, "version": 1, "result": "", **task}))
    result = pvc("task", "wait", TASK_ID)
    assert (result.returncode, result.stdout, result.stderr) == (code, "", text)
