"""Start-up is a feature: what a command may load."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from pvc.cli import commands
from pvc.cli.arguments import command_parser
from pvc.cli.registry import COMMANDS, GROUPS, load
from tests.unit.cli.answers import TASK_ID
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import FakeAPI

# Slow to load, and of no use to a client on a unix socket or plain HTTP.
NEVER = {
    "aiohttp",
    "msgspec",
    "lxml",
    "asyncio",
    "kazoo",
    "libvirt",
    "sqlite3",
    "_ssl",
    "dataclasses",
    "inspect",
    "rich",
}
LINES = [
    "vm list",
    "status --check",
    "events",
    "events -f",
    "vm start web1",
    "vm --help",
    f"task wait {TASK_ID}",
    "--complete vm start w",
    "--complete storage volume info local w",
    "--complete vm list --format=",
    "vm list --watch -c unix:/nowhere",
    "storage volume upload local web1 /dev/null",
]


def loaded(pvc: PVC, *args: str) -> set[str]:
    program = PVC([sys.executable, "-X", "importtime", "-m", "pvc"], pvc.environment)
    return set(re.findall(r"\| +([\w.]+)$", program(*args).stderr, re.MULTILINE))


@pytest.mark.parametrize("line", LINES)
def test_a_command_loads_nothing_heavy(pvc: PVC, line: str) -> None:
    assert loaded(pvc, *line.split()) & NEVER == set()


# What `vm list` costs before it does anything. One more is a few tenths of a millisecond at each start: think twice.
OF_VM_LIST = {
    *(
        "pvc",
        "pvc.__main__",
        "pvc.cli",
        "pvc.cli.main",
        "pvc.errors",
        "pvc.outcomes",
        "pvc.cli.words",
        "pvc.cli.failure",
    ),
    *("pvc.cli.registry", "pvc.cli.arguments", "pvc.cli.connection", "pvc.cli.output", "pvc.cli.layout", "pvc.units"),
    *("pvc.cli.client", "pvc.cli.sparse", "pvc.cli.body", "pvc.cli.commands", "pvc.cli.commands.vm_list"),
}


def test_a_list_loads_no_more_of_pvc_than_it_did(pvc: PVC) -> None:
    assert {name for name in loaded(pvc, "vm", "list") if name.partition(".")[0] == "pvc"} <= OF_VM_LIST


# Each press of the tabulator key is a start.
OF_COMPLETION = OF_VM_LIST - {"pvc.cli.commands.vm_list"} | {"pvc.cli.completion"}


def test_completion_loads_no_more_of_pvc_than_it_needs(pvc: PVC) -> None:
    of_vm_start = {"pvc.cli.commands.vm_start", "pvc.cli.power"}
    modules = {name for name in loaded(pvc, "--complete", "vm", "start", "w") if name.partition(".")[0] == "pvc"}
    assert modules <= OF_COMPLETION | of_vm_start | {"pvc.cli.names"}


def test_what_needs_no_name_is_completed_without_a_connection(pvc: PVC, api: FakeAPI) -> None:
    assert "http.client" not in loaded(pvc, "--complete", "vm", "start", "--no")
    assert api.requests == []


def test_only_commands_that_are_offered_are_loaded_for_their_meaning(pvc: PVC) -> None:
    modules = {name for name in loaded(pvc, "--complete", "vm", "st") if name.startswith("pvc.cli.commands.")}
    assert modules == {"pvc.cli.commands.vm_start", "pvc.cli.commands.vm_stop"}


def test_plain_http_does_not_load_ssl(pvc: PVC, tcp_api: FakeAPI) -> None:
    modules = loaded(pvc, "-c", tcp_api.url, "vm", "list")
    assert "http.client" in modules
    assert modules & NEVER == set()


def test_the_version_needs_no_parser_and_no_http(pvc: PVC) -> None:
    modules = loaded(pvc, "--version")
    assert "pvc.cli.main" in modules
    assert modules & {"argparse", "json", "http.client", "socket", "pvc.cli.client", "pvc.cli.registry"} == set()


def test_only_the_module_of_the_command_is_loaded(pvc: PVC) -> None:
    modules = {name for name in loaded(pvc, "vm", "start", "web1") if name.startswith("pvc.cli.commands.")}
    assert modules == {"pvc.cli.commands.vm_start"}


def test_every_module_is_a_command_and_every_command_a_module() -> None:
    files = {path.stem for path in Path(commands.__path__[0]).glob("[!_]*.py")}
    assert files == {name.replace(" ", "_").replace("-", "_") for name in COMMANDS}
    assert {load(name).__name__.rpartition(".")[2] for name in COMMANDS} == files  # type: ignore[attr-defined]


def test_every_group_has_commands_and_no_command_is_a_group() -> None:
    assert all(any(name.startswith(f"{group} ") for name in COMMANDS) for group in GROUPS)
    assert not set(COMMANDS) & set(GROUPS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_each_command_is_one(name: str) -> None:
    command = load(name)
    words = shlex.split(command.EXAMPLE.partition(" >")[0])
    args = command_parser(name, command).parse_args(words)
    assert args.output == "table"
    assert f"Example:\n  pvc {name} {command.EXAMPLE}".rstrip() in command_parser(name, command).format_help()
    assert command.HELP[0].islower() or command.HELP.startswith("VM")
    assert not command.HELP.endswith(".")
