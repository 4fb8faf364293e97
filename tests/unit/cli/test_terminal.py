"""What differs when people sit in front of it: questions, colours and the progress bar."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest

from tests.unit.cli.answers import TASK_ID
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI

VOLUME = "GET /storage/ceph/volume/local/web1"


def on_terminal(pvc: PVC, *args: str, typed: str = "", environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run pvc with a terminal as stdin, stdout and stderr; return its exit code and all it showed."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    process = pvc.start(*args, stdin=theirs, stdout=theirs, stderr=theirs, environment=environment or {})
    os.close(theirs)
    shown = b""
    while piece := _read(ours):
        shown += piece
    os.close(ours)
    return process.wait(timeout=30), shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the last program that had the other end has gone
        return b""


@pytest.mark.parametrize("word", ["y", "YES"])
def test_yes_does_it(pvc: PVC, api: FakeAPI, word: str) -> None:
    code, shown = on_terminal(pvc, "vm", "remove", "web1", typed=f"{word}\n")
    assert code == 0
    assert 'Stop VM "web1", forget it and remove its volumes with all their data? [y/N] ' in shown
    assert shown.endswith("Done.\n")
    assert api.request.method == "DELETE"


@pytest.mark.parametrize("word", ["", "n", "yep"])
def test_anything_else_changes_nothing_and_does_not_succeed(pvc: PVC, api: FakeAPI, word: str) -> None:
    code, shown = on_terminal(pvc, "storage", "volume", "remove", "local", "web1", typed=f"{word}\n")
    assert code == 8
    assert shown.endswith("Nothing was changed.\n")
    assert api.requests == []


def test_an_upload_asks_before_it_replaces_data_and_only_where_there_is_some(
    pvc: PVC, api: FakeAPI, tmp_path: Path
) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"x" * 4096)
    line = ("storage", "volume", "upload", "local", "web1", str(image))
    api.tell(VOLUME, Answer([{"name": "web1", "stats": {"used_bytes": 3 << 20}}]))
    code, shown = on_terminal(pvc, *line, typed="n\n")
    assert (code, [request.method for request in api.requests]) == (8, ["GET"])
    assert 'Replace all that volume "local/web1" holds (3M)? [y/N] ' in shown
    api.tell(VOLUME, Answer([{"name": "web1", "stats": {"used_bytes": 0}}]))
    assert on_terminal(pvc, *line)[0] == 0


def test_a_running_vm_loses_its_only_disk_only_where_that_is_meant(pvc: PVC, api: FakeAPI) -> None:
    line = ("vm", "volume", "remove", "web1", "local/web1")
    api.tell("GET /vm/web1", Answer([{"name": "web1", "state": "start", "disks": [{"name": "local/web1"}]}]))
    code, shown = on_terminal(pvc, *line, typed="n\n")
    assert (code, [request.method for request in api.requests]) == (8, ["GET"])
    assert 'VM "web1" runs, and volume "local/web1" is its only disk. Remove it? [y/N] ' in shown
    assert on_terminal(pvc, *line, "-y")[0] == 0
    assert pvc(*line).returncode == 0


def test_a_backup_asks_before_it_replaces_a_file(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    api.tell("GET /backup", Answer(b"{}"))
    line = ("task", "backup", "-f", str(file))
    assert on_terminal(pvc, *line)[0] == 0
    file.write_text("older")
    code, shown = on_terminal(pvc, *line, typed="n\n")
    assert (code, file.read_text()) == (8, "older")
    assert f'Replace the file "{file}", which is there already? [y/N] ' in shown
    assert on_terminal(pvc, *line, typed="y\n")[0] == 0
    assert file.read_text() == "{}"


@pytest.fixture
def modifying(api: FakeAPI) -> FakeAPI:
    api.tell("PUT /vm/web1", Answer({"message": "Changed.", "diff": "@@ 1 @@\n-old\n+new\n"}))
    return api


def test_modify_asks_after_the_coloured_difference(pvc: PVC, modifying: FakeAPI, tmp_path: Path) -> None:
    file = tmp_path / "new.xml"
    file.write_text("<domain/>")
    code, shown = on_terminal(pvc, "vm", "modify", "web1", str(file), typed="y\n")
    assert code == 0
    assert "\x1b[36m@@ 1 @@\x1b[0m\n\x1b[31m-old\x1b[0m\n\x1b[32m+new\x1b[0m\n" in shown
    assert [request.json.get("dry_run") for request in modifying.requests] == [True, None]


def test_modify_that_is_declined_applies_nothing(pvc: PVC, modifying: FakeAPI, tmp_path: Path) -> None:
    file = tmp_path / "new.xml"
    file.write_text("<domain/>")
    code, _ = on_terminal(pvc, "vm", "modify", "web1", str(file), typed="n\n")
    assert code == 8
    assert modifying.request.json["dry_run"] is True


def test_no_color_is_respected(pvc: PVC, modifying: FakeAPI, tmp_path: Path) -> None:
    file = tmp_path / "new.xml"
    file.write_text("<domain/>")
    _, shown = on_terminal(pvc, "vm", "modify", "web1", str(file), "--dry-run", environment={"NO_COLOR": "1"})
    assert "\x1b" not in shown


def editor(tmp_path: Path, script: str) -> dict[str, str]:
    """`script` finds the file to edit as $1; what pvc leaves of it is looked for in tmp_path."""
    program = tmp_path / "editor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"VISUAL": str(program), "TMPDIR": str(tmp_path)}


def test_the_editor_gets_the_present_xml_and_its_result_is_sent(pvc: PVC, modifying: FakeAPI, tmp_path: Path) -> None:
    environment = editor(tmp_path, 'sed -i s/web1/www1/ "$1"')
    code, _ = on_terminal(pvc, "vm", "modify", "web1", "-y", environment=environment)
    assert code == 0
    assert modifying.requests[-1].json["xml"] == "<domain type='kvm'>\n  <name>www1</name>\n</domain>\n"
    assert list(tmp_path.glob("pvc-*.xml")) == []


def test_an_edit_that_changes_nothing_asks_nothing(pvc: PVC, modifying: FakeAPI, tmp_path: Path) -> None:
    code, shown = on_terminal(pvc, "vm", "modify", "web1", environment=editor(tmp_path, "true"))
    assert (code, shown) == (8, "Nothing was changed.\n")
    assert [request.method for request in modifying.requests] == ["GET"]
    assert list(tmp_path.glob("pvc-*.xml")) == []


def test_an_edit_that_is_refused_is_not_lost(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell("PUT /vm/web1", Answer({"message": "Not XML.", "code": "invalid_xml"}, 400))
    code, shown = on_terminal(pvc, "vm", "modify", "web1", environment=editor(tmp_path, 'echo "<" > "$1"'))
    (kept,) = tmp_path.glob("pvc-*.xml")
    assert (code, shown) == (2, f'Your edit is kept in "{kept}".\nNot XML.\n')
    assert kept.read_text() == "<\n"


def test_an_upload_draws_one_bar_that_ends_full(pvc: PVC, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(9 << 20))
    code, shown = on_terminal(pvc, "storage", "volume", "upload", "local", "web1", str(image), "-y")
    assert code == 0
    last = shown.split("\r\x1b[K")[-1]
    assert re.fullmatch(r"receiving  \[#+\]  100%  9M of 9M  \S+/s  \S+ s\nDone.\n", last)


@pytest.mark.parametrize(("terminal", "wait_s"), [(True, "1"), (False, "30")])
def test_where_people_watch_the_seconds_of_a_task_are_counted(
    pvc: PVC, api: FakeAPI, terminal: bool, wait_s: str
) -> None:
    api.tell("POST /storage/ceph/snapshot/local/web1/s1/rollback", Answer({"message": "It begins.", "task": TASK_ID}))
    going = {"id": TASK_ID, "status": "running", "kind": "revert", "phase": "rolling back", "done": 0, "total": 0}
    done = {**going, "status": "done", "version": 1, "result": "It is so.", "figures": {}, "details": {}}
    api.tell(f"GET /tasks/{TASK_ID}", Answer({**going, "version": 0}), Answer(done))
    line = ("storage", "snapshot", "rollback", "local", "web1", "s1", "-y")
    shown = on_terminal(pvc, *line)[1] if terminal else pvc(*line).stdout
    assert {request.query["wait"][0] for request in api.requests if request.method == "GET"} == {wait_s}
    assert shown.endswith("It is so.\n")
    if terminal:
        assert re.search(r"\r\x1b\[Krolling back  [\d.:]+( s)?\n", shown)
