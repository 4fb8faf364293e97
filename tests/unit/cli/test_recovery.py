"""Backup, restore, rollback and init from the shell: what is asked of people, of the API, and what becomes of files."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.answers import TASK, TASK_ID
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI, Request

DOCUMENT = b'{\n "format": "pvc-backup"\n}\n'
YES = {"yes-i-really-mean-it": ["yes"]}
PROSPECT: dict[str, Any] = {
    "message": "Nothing was changed; there would be 1 made, 1 changed and 0 deleted.",
    "plan": {
        "creates": [{"kind": "vm", "name": "web1", "key": "1", "fields": []}],
        "changes": [{"kind": "network", "name": "100", "key": "100", "fields": ["mtu"]}],
        "deletes": [],
    },
    "notes": ['Volume "vms/web1" of VM "web1" is missing.'],
    "obstacles": [{"problem": 'VMs run that the backup does not know: "x"', "force": True}],
}
DONE = {**PROSPECT, "message": "Restored.", "obstacles": []}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "backup.json"
    file.write_bytes(DOCUMENT)
    return file


def test_a_backup_is_written_as_it_came_and_for_nobody_else(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell("GET /backup", Answer(DOCUMENT))
    file = tmp_path / "new.json"
    for _ in range(2):
        result = pvc("task", "backup", "-f", str(file))
        assert (result.returncode, result.stdout, result.stderr) == (0, "", f'Wrote the backup to "{file}".\n')
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (DOCUMENT, 0o600)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("new")] == ["new.json"]


@pytest.mark.parametrize("words", [[], ["-f", "-"], ["-f", "/dev/stdout"]])
def test_a_backup_goes_to_stdout(pvc: PVC, api: FakeAPI, words: list[str]) -> None:
    api.tell("GET /backup", Answer(DOCUMENT))
    assert pvc("task", "backup", *words).stdout == DOCUMENT.decode()


def test_a_refused_backup_leaves_the_old_file(pvc: PVC, api: FakeAPI, file: Path) -> None:
    api.tell("GET /backup", Answer({"message": "Not now.", "code": "store_unavailable", "fields": {}}, 503))
    result = pvc("task", "backup", "-f", str(file))
    assert (result.returncode, result.stderr, file.read_bytes()) == (5, "Not now.\n", DOCUMENT)


def test_a_backup_that_cannot_be_written_says_so(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell("GET /backup", Answer(DOCUMENT))
    result = pvc("task", "backup", "-f", str(tmp_path / "absent" / "file"))
    assert result.returncode == 2
    assert "cannot be written: No such file or directory" in result.stderr


def test_a_dry_run_tells_what_would_be_and_asks_nothing(pvc: PVC, api: FakeAPI, file: Path) -> None:
    api.tell("POST /restore", Answer(PROSPECT))
    result = pvc("task", "restore", "-f", str(file), "--dry-run")
    assert (result.returncode, result.stdout.splitlines()) == (
        0,
        [
            "+ vm web1",
            "~ network 100 (mtu)",
            'Volume "vms/web1" of VM "web1" is missing.',
            'In the way: VMs run that the backup does not know: "x" (--force passes over it).',
            "Nothing was changed; there would be 1 made, 1 changed and 0 deleted.",
        ],
    )
    assert (api.request.query, api.request.body) == ({"dry_run": ["true"]}, DOCUMENT)
    assert api.request.headers["content-type"] == "application/vnd.pvc.backup+json"


def test_a_restore_without_an_answer_does_nothing_but_tell(pvc: PVC, api: FakeAPI, file: Path) -> None:
    api.tell("POST /restore", Answer(PROSPECT))
    result = pvc("task", "restore", "-f", str(file))
    assert result.returncode == 2
    assert "+ vm web1" in result.stderr and "add -y" in result.stderr
    assert [request.query for request in api.requests] == [{"dry_run": ["true"]}]


CONFIRMED: list[tuple[str, dict[str, list[str]]]] = [
    ("", {"force": ["false"], "wait": ["false"], **YES}),
    ("--force", {"force": ["true"], "wait": ["false"], **YES}),
    ("--only vm web1", {"force": ["false"], "vm": ["web1"], **YES}),
]


@pytest.mark.parametrize(("words", "query"), CONFIRMED)
def test_a_restore_that_is_agreed_to_is_one_request(
    pvc: PVC, api: FakeAPI, file: Path, words: str, query: dict[str, list[str]]
) -> None:
    api.tell("POST /restore", Answer(DONE))
    result = pvc("task", "restore", "-f", str(file), "-y", *words.split())
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "Restored.\n"
    assert (api.request.query, api.request.body) == (query, DOCUMENT)


def test_parts_that_are_not_known_are_refused(pvc: PVC, api: FakeAPI, file: Path) -> None:
    result = pvc("task", "restore", "-f", str(file), "--only", "network", "100", "-y")
    assert (result.returncode, api.requests) == (2, [])


def test_a_dry_run_of_one_vm_tells_what_would_be(pvc: PVC, api: FakeAPI, file: Path) -> None:
    api.tell("POST /restore", Answer(PROSPECT))
    result = pvc("task", "restore", "-f", str(file), "--only", "vm", "web1", "--dry-run")
    assert result.stdout.startswith("+ vm web1\n")
    assert api.request.query == {"vm": ["web1"], "dry_run": ["true"]}


def test_a_restore_is_followed_as_a_task_to_its_end(pvc: PVC, api: FakeAPI, file: Path) -> None:
    task = {**TASK, "kind": "restore", "phase": "writing", "done": 3, "total": 8, "status": "running"}
    ended = {**task, "status": "done", "phase": "", "done": 8, "result": "Restored all.", "version": 9}
    ended["figures"] = {"generation": 3, "previous": 2}
    api.tell("POST /restore", Answer({"message": "The restore is under way.", "task": TASK_ID}))
    api.tell(f"GET /tasks/{TASK_ID}", Answer(task), Answer(ended))
    result = pvc("task", "restore", "-f", str(file), "-y", "--output", "json")
    assert result.returncode == 0, result.stderr
    assert "writing: 8 records" in result.stderr
    told = json.loads(result.stdout)
    assert (told["message"], told["generation"], told["previous"]) == ("Restored all.", 3, 2)


def test_who_does_not_wait_is_told_the_task(pvc: PVC, api: FakeAPI, file: Path) -> None:
    api.tell("POST /restore", Answer({"message": "The restore is under way.", "task": TASK_ID}))
    assert pvc("task", "restore", "-f", str(file), "-y", "--no-wait").stdout == "The restore is under way.\n"
    assert api.request.path == "/restore"


SECRET = "correct horse über battery"
LOCKED = b'{"format": "pvc-backup", "secrets" : {"n": 1}}'


@pytest.fixture
def words(tmp_path: Path) -> str:
    """Options that name a passphrase."""
    (tmp_path / "passphrase").write_text(SECRET + "\n")
    return f"--passphrase-file {tmp_path}/passphrase"


def passphrase(request: Request) -> str:
    return request.headers.get("x-pvc-passphrase", "").encode("latin-1").decode()


def test_secrets_are_asked_for_with_a_passphrase_in_a_header(pvc: PVC, api: FakeAPI, words: str) -> None:
    api.tell("GET /backup", Answer(LOCKED))
    assert pvc("task", "backup", "--secrets", *words.split()).stdout == LOCKED.decode()
    assert (api.request.query, passphrase(api.request)) == ({"secrets": ["true"]}, SECRET)


def test_secrets_are_restored_by_a_passphrase_in_a_header(pvc: PVC, api: FakeAPI, file: Path, words: str) -> None:
    file.write_bytes(LOCKED)
    api.tell("POST /restore", Answer(DONE))
    assert pvc("task", "restore", "-f", str(file), "-y", *words.split()).returncode == 0
    assert (api.request.query, passphrase(api.request)) == ({"force": ["false"], "wait": ["false"], **YES}, SECRET)


@pytest.mark.parametrize("words", ["", "--no-secrets"])
def test_without_a_passphrase_the_rest_is_restored(pvc: PVC, api: FakeAPI, file: Path, words: str) -> None:
    file.write_bytes(LOCKED)
    api.tell("POST /restore", Answer(DONE))
    assert pvc("task", "restore", "-f", str(file), "-y", *words.split()).returncode == 0
    assert "x-pvc-passphrase" not in api.request.headers


@pytest.mark.parametrize("line", ["--secrets", "--passphrase-file /dev/null", "--secrets --passphrase-file /dev/null"])
def test_a_backup_without_what_its_passphrase_takes_is_refused(pvc: PVC, api: FakeAPI, line: str) -> None:
    result = pvc("task", "backup", *line.split())
    assert (result.returncode, api.requests) == (2, [])
    assert "passphrase" in result.stderr


def typed(pvc: PVC, *lines: str) -> tuple[int, str]:
    """A backup with secrets, asked for on a terminal where `lines` are typed; what it ends with, and what is seen."""
    ours, theirs = pty.openpty()
    asking = pvc.start("task", "backup", "--secrets", stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    for line in lines:
        while not seen.endswith(b": "):
            seen += os.read(ours, 1000)
        os.write(ours, line.encode() + b"\n")
        seen += os.read(ours, 1)
    code = asking.wait(timeout=20)
    with suppress(OSError):  # the other end is closed
        seen += os.read(ours, 1000)
    os.close(ours)
    return code, seen.decode()


def test_a_passphrase_is_asked_for_twice_and_not_shown(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /backup", Answer(LOCKED))
    code, seen = typed(pvc, SECRET, SECRET)
    assert (code, passphrase(api.request)) == (0, SECRET)
    assert "The same again" in seen and SECRET not in seen


def test_a_passphrase_that_was_mistyped_is_refused(pvc: PVC, api: FakeAPI) -> None:
    code, seen = typed(pvc, SECRET, SECRET + "x")
    assert (code, api.requests) == (2, [])
    assert "The two are not the same; nothing was written." in seen


ACTS = [
    ("task rollback -y", "/rollback", {"force": False, "wait": False, "yes-i-really-mean-it": "yes"}),
    (
        "task rollback 3 -y --force",
        "/rollback",
        {"generation": "3", "force": True, "wait": False, "yes-i-really-mean-it": "yes"},
    ),
    ("task rollback --dry-run", "/rollback", {"dry_run": True}),
    ("task init -y", "/initialize", {"overwrite": False, "yes-i-really-mean-it": "yes"}),
    ("task init -y --overwrite", "/initialize", {"overwrite": True, "yes-i-really-mean-it": "yes"}),
]


@pytest.mark.parametrize(("line", "path", "sent"), ACTS)
def test_what_is_agreed_to_is_asked(pvc: PVC, api: FakeAPI, line: str, path: str, sent: dict[str, Any]) -> None:
    api.tell(f"POST {path}", Answer(DONE))
    assert pvc(*line.split()).returncode == 0
    assert (api.request.path, api.request.json) == (path, sent)


def test_init_without_an_answer_asks_nothing_of_the_api(pvc: PVC, api: FakeAPI) -> None:
    assert pvc("task", "init").returncode == 2
    assert api.requests == []


def test_a_generation_is_removed(pvc: PVC, api: FakeAPI) -> None:
    assert pvc("task", "generation", "remove", "2", "-y").returncode == 0
    assert (api.request.method, api.request.path) == ("DELETE", "/generations/2")


def test_machines_get_the_plan(pvc: PVC, api: FakeAPI, file: Path) -> None:
    api.tell("POST /restore", Answer(PROSPECT))
    result = pvc("task", "restore", "-f", str(file), "--dry-run", "--output", "json")
    assert json.loads(result.stdout) == PROSPECT
