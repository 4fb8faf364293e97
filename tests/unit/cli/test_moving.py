"""A migration as its command follows it, to its end or to an interruption."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time

import pytest

from tests.unit.cli.answers import TASK_ID
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI

MOVING = {"id": TASK_ID, "status": "running", "kind": "migrate", "phase": "copy", "done": 0, "total": 1024}


def test_a_migration_is_followed_to_its_end(pvc: PVC, api: FakeAPI) -> None:
    api.tell("POST /vm/web1/node", Answer({"message": "Migrating.", "node": "hv2", "task": TASK_ID}))
    api.tell(
        f"GET /tasks/{TASK_ID}",
        Answer({**MOVING, "version": 1, "figures": {}}),
        Answer({**MOVING, "version": 2, "done": 512, "figures": {"bytes_left": 512}}),
        Answer({**MOVING, "version": 3, "status": "done", "result": "Migrated.", "figures": {"downtime_ms": 40}}),
    )
    result = pvc("vm", "migrate", "web1", "-f", "json")
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)
    assert (shown["message"], shown["node"], shown["downtime_ms"]) == ("Migrated.", "hv2", 40)
    assert result.stderr.startswith("Migrating.\ncopy: 1K\ncopy: 1K in ")
    assert [request.query.get("after") for request in api.requests] == [None, ["-1"], ["1"], ["2"]]


@pytest.mark.parametrize(("status", "code", "exit_code"), [("failed", "conflict", 4), ("cancelled", "cancelled", 8)])
def test_a_migration_that_fails_fails_the_command(
    pvc: PVC, api: FakeAPI, status: str, code: str, exit_code: int
) -> None:
    api.tell("POST /vm/web1/node", Answer({"message": "Migrating.", "node": "hv2", "task": TASK_ID}))
    ended = {**MOVING, "status": status, "problem": {"code": code, "message": "It stays."}, "figures": {}}
    api.tell(f"GET /tasks/{TASK_ID}", Answer({**ended, "version": 1}))
    result = pvc("vm", "migrate", "web1")
    assert (result.returncode, result.stdout) == (exit_code, "")
    assert result.stderr == "Migrating.\nIt stays.\n"


@pytest.fixture
def held(api: FakeAPI) -> FakeAPI:
    """A migration that tells nothing until somebody cancels it."""
    api.tell("POST /vm/web1/node", Answer({"message": "Migrating.", "node": "hv2", "task": TASK_ID}))
    problem = {"code": "cancelled", "message": "It was cancelled."}
    api.tell(f"GET /tasks/{TASK_ID}", Answer({**MOVING, "status": "cancelled", "version": 2, "problem": problem}))
    api.tell(f"POST /tasks/{TASK_ID}", Answer({"message": "Asked for its end."}))
    api.hold(f"GET /tasks/{TASK_ID}", until=f"POST /tasks/{TASK_ID}")
    return api


def interrupt(process: subprocess.Popen[bytes], api: FakeAPI) -> None:
    """While it waits for news."""
    while not any(request.path == f"/tasks/{TASK_ID}" for request in api.requests):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize(("word", "code"), [("y", 8), ("n", 130)])
def test_an_interruption_asks_whether_to_cancel(pvc: PVC, held: FakeAPI, word: str, code: int) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{word}\n".encode())
    process = pvc.start("vm", "migrate", "web1", stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    interrupt(process, held)
    _, said = process.communicate(timeout=30)
    os.close(ours)
    asked = [request for request in held.requests if (request.method, request.path) == ("POST", f"/tasks/{TASK_ID}")]
    assert process.returncode == code, said
    assert b"Cancel the migration? The guest then stays where it was. [y/N]" in said
    assert [request.json for request in asked] == ([{"action": "cancel"}] if word == "y" else [])
    assert (b"It was cancelled." if word == "y" else b"goes on as task") in said


def test_a_second_interruption_leaves_the_migration_to_itself_and_says_so(pvc: PVC, held: FakeAPI) -> None:
    ours, theirs = pty.openpty()
    process = pvc.start("vm", "migrate", "web1", stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    interrupt(process, held)
    assert process.stderr is not None
    said = b""
    while b"[y/N]" not in said:
        said += os.read(process.stderr.fileno(), 4096)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    os.close(ours)
    held.held[f"GET /tasks/{TASK_ID}"][1].set()
    assert (process.returncode, b"goes on as task" in rest) == (130, True), rest
    assert all(request.path != f"/tasks/{TASK_ID}" or request.method == "GET" for request in held.requests)


def test_where_nobody_can_be_asked_an_interrupted_migration_goes_on(pvc: PVC, held: FakeAPI) -> None:
    process = pvc.start("vm", "migrate", "web1", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    interrupt(process, held)
    _, said = process.communicate(timeout=30)
    held.held[f"GET /tasks/{TASK_ID}"][1].set()
    assert (process.returncode, b"goes on as task" in said) == (130, True)
    assert [request.method for request in held.requests] == ["POST", "GET"]


VOLUME, SNAPSHOT = "/storage/ceph/volume/local/web1", "/storage/ceph/snapshot/local/web1/s1"
LONG = [
    ("storage volume clone local web1 web2", f"POST {VOLUME}/clone"),
    ("storage volume resize local web1 20G", f"PUT {VOLUME}"),
    ("storage volume remove local web1 -y", f"DELETE {VOLUME}"),
    ("storage snapshot add local web1 s1", f"POST {SNAPSHOT}"),
    ("storage snapshot rollback local web1 s1 -y", f"POST {SNAPSHOT}/rollback"),
    ("storage snapshot remove local web1 s1 -y", f"DELETE {SNAPSHOT}"),
    ("storage pool remove fast -y", "DELETE /storage/ceph/pool/fast"),
    ("provisioner ova define web1 app", "POST /provisioner/ova/app/define"),
    ("provisioner ova remove app -y", "DELETE /provisioner/ova/app"),
    ("vm remove web1 -y", "DELETE /vm/web1"),
    ("vm undefine web1 -y", "DELETE /vm/web1"),
]


@pytest.mark.parametrize(("line", "asked"), LONG, ids=[line for line, _ in LONG])
def test_what_takes_long_is_a_task_that_is_followed_or_left(pvc: PVC, api: FakeAPI, line: str, asked: str) -> None:
    api.tell(asked, Answer({"message": "It begins.", "task": TASK_ID}))
    going = {**MOVING, "phase": "removing", "total": 0, "version": 1, "figures": {}, "details": {}}
    done = {**going, "status": "done", "version": 2, "result": "It is so.", "details": {"volumes": ["a"]}}
    api.tell(f"GET /tasks/{TASK_ID}", Answer(going), Answer(done))
    result = pvc(*line.split())
    assert (result.returncode, result.stdout) == (0, "It is so.\n")
    assert result.stderr.startswith("It begins.\nremoving: begun\nremoving: ")
    assert "B in" not in result.stderr
    shown = json.loads(pvc(*line.split(), "-f", "json").stdout)
    assert (shown["message"], shown["volumes"]) == ("It is so.", ["a"])
    assert pvc(*line.split(), "--no-wait").stdout == "It begins.\n"
    assert [request.method for request in api.requests if request.method != "GET"] == [asked.split()[0]] * 3


@pytest.mark.parametrize(("line", "asked"), LONG, ids=[line for line, _ in LONG])
def test_the_failure_of_what_takes_long_is_the_commands(pvc: PVC, api: FakeAPI, line: str, asked: str) -> None:
    api.tell(asked, Answer({"message": "It begins.", "task": TASK_ID}))
    problem = {"code": "in_use", "message": "Somebody has it."}
    api.tell(f"GET /tasks/{TASK_ID}", Answer({**MOVING, "status": "failed", "version": 1, "problem": problem}))
    result = pvc(*line.split())
    assert (result.returncode, result.stdout, result.stderr) == (4, "", "It begins.\nSomebody has it.\n")


@pytest.mark.parametrize(("line", "asked"), LONG, ids=[line for line, _ in LONG])
def test_quietly_what_takes_long_says_nothing(pvc: PVC, api: FakeAPI, line: str, asked: str) -> None:
    api.tell(asked, Answer({"message": "It begins.", "task": TASK_ID}))
    done = {**MOVING, "status": "done", "version": 2, "result": "It is so.", "figures": {}}
    api.tell(f"GET /tasks/{TASK_ID}", Answer(done))
    result = pvc(*line.split(), "-q")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
