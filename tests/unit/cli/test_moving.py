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
    assert result.stderr.startswith("Migrating.\ncopy: 1K\ncopy: 512B in ")
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


def test_where_nobody_can_be_asked_an_interrupted_migration_goes_on(pvc: PVC, held: FakeAPI) -> None:
    process = pvc.start("vm", "migrate", "web1", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    interrupt(process, held)
    _, said = process.communicate(timeout=30)
    held.held[f"GET /tasks/{TASK_ID}"][1].set()
    assert (process.returncode, b"goes on as task" in said) == (130, True)
    assert [request.method for request in held.requests] == ["POST", "GET"]


def test_a_clone_is_a_task_that_is_followed_or_left(pvc: PVC, api: FakeAPI) -> None:
    path = "/storage/ceph/volume/local/web1/clone"
    api.tell(f"POST {path}", Answer({"message": "Cloning.", "task": TASK_ID}))
    done = {**MOVING, "kind": "clone", "status": "done", "version": 1, "result": "Cloned.", "figures": {}}
    api.tell(f"GET /tasks/{TASK_ID}", Answer(done))
    assert pvc("storage", "volume", "clone", "local", "web1", "web2").stdout == "Cloned.\n"
    assert pvc("storage", "volume", "clone", "local", "web1", "web2", "--no-wait").stdout == "Cloning.\n"
    assert [request.method for request in api.requests] == ["POST", "GET", "POST"]
