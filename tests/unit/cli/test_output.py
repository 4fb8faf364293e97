"""What people and machines see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.answers import BROKEN, NODE, READS, STATUS, TASK, TASK_ID, TOKEN_OF_OPS, WEB1
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI

GOLDEN = Path(__file__).parents[2] / "golden" / "cli"

SHOWN = [
    "status",
    "events",
    "node list",
    "node info hv1",
    "node info hv2",
    "vm list",
    "vm info web1",
    "vm info db",
    "vm dump web1",
    "vm log web1",
    "vm tag get web1",
    "vm vcpu get web1",
    "vm memory get web1",
    "vm network get web1",
    "vm volume get web1",
    "network list",
    "network info 100",
    "storage status",
    "storage util",
    "storage osd list",
    "storage pool list",
    "storage volume list",
    "storage volume info local web1",
    "storage snapshot list",
    "node flush hv1 --plan",
    "vm flush-locks web1 --list",
    "provisioner ova list",
    "provisioner ova info app",
    "provisioner ova info lost",
    "task list",
    "token list",
    "task generation list",
    f"task show {TASK_ID}",
]
HELP = [
    "--help",
    "vm --help",
    "storage volume --help",
    "events --help",
    "vm start --help",
    "vm volume add --help",
    "vm vcpu set --help",
    "storage volume upload --help",
    "provisioner ova --help",
    "provisioner ova define --help",
]


@pytest.mark.parametrize("line", [*SHOWN, *HELP])
def test_people_see_what_the_golden_file_says(pvc: PVC, request: pytest.FixtureRequest, line: str) -> None:
    result = pvc(*line.split())
    assert (result.returncode, result.stderr) == (0, "")
    golden = GOLDEN / f"{line.removeprefix('--').replace(TASK_ID, 'id').replace(' --', ' ').replace(' ', '_')}.txt"
    if request.config.getoption("--regenerate"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(result.stdout)
    assert result.stdout == golden.read_text()


MACHINES: list[tuple[str, Any]] = [
    ("status", READS["/status"]),
    ("vm list", [WEB1, BROKEN]),
    ("vm info web1", WEB1),
    ("vm dump web1", {"name": "web1", "xml": WEB1["xml"]}),
    ("node info hv1", NODE),
    ("vm log web1", READS["/vm/web1/console"]),
    ("node log hv1", READS["/node/hv1/log"]),
    ("task list", [TASK]),
    ("token list", [TOKEN_OF_OPS]),
    ("vm tag add web1 a", {"message": "Done."}),
    ("vm start web1 web2", [{"name": "web1", "message": "Done."}, {"name": "web2", "message": "Done."}]),
]


@pytest.mark.parametrize(("line", "answer"), MACHINES, ids=[line for line, _ in MACHINES])
def test_machines_get_the_answer_of_the_api(pvc: PVC, line: str, answer: Any) -> None:
    result = pvc(*line.split(), "--output", "json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == answer


def test_a_check_fails_where_something_is_wrong_and_shows_it(pvc: PVC) -> None:
    result = pvc("status", "--check")
    assert (result.returncode, result.stdout) == (9, (GOLDEN / "status.txt").read_text())
    assert result.stderr == "One thing is wrong: the cluster's health is 90%.\n"


@pytest.mark.parametrize("alarm", ["none", "silenced"])
def test_a_check_is_content_where_nothing_is_wrong_or_people_work_on_it(pvc: PVC, api: FakeAPI, alarm: str) -> None:
    working = {"maintenance": "true", "maintenance_by": "root", "maintenance_since": 1736078400.0}
    api.tell("GET /status", Answer({**STATUS, "alarm": alarm, **working}))
    result = pvc("status", "--check")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Maintenance  on since 2025-01-05 12:00:00, by root\n" in result.stdout


@pytest.mark.parametrize(("word", "state"), [("on", True), ("off", False)])
def test_maintenance_is_a_switch(pvc: PVC, api: FakeAPI, word: str, state: bool) -> None:
    assert pvc("maintenance", word).stdout == "Done.\n"
    assert (api.request.method, api.request.path, api.request.json) == ("POST", "/status", {"state": state})


def test_an_empty_list_is_a_header_or_an_empty_list(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /network", Answer([]))
    assert pvc("network", "list").stdout == "VNI  DESCRIPTION  TYPE  BRIDGE  MTU\n"
    assert json.loads(pvc("network", "list", "-f", "json").stdout) == []


def test_names_that_the_terminal_cannot_show_do_no_harm(pvc: PVC) -> None:
    result = pvc("vm", "list", environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"})
    assert result.returncode == 0
    assert "db-fr" in result.stdout


def test_version(pvc: PVC) -> None:
    result = pvc("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, "pvc 0.1.0\n", "")


def test_a_reader_that_leaves_early_is_no_fault(pvc: PVC, api: FakeAPI) -> None:
    import os
    import subprocess

    api.tell("GET /vm", Answer([WEB1] * 5000))
    reader, writer = os.pipe()
    os.close(reader)
    process = pvc.start("vm", "list", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, complaint = process.communicate(timeout=30)
    assert (process.returncode, complaint) == (141, b"")
