"""Completion: from the declarations of the commands, and with the names that the server has now."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pvc.cli.commands.completion import BASH
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


@pytest.mark.parametrize(
    ("line", "asked", "answer", "names"),
    [
        ("vm start ", "/vm", [{"name": "web1"}, {"name": "db"}], ["web1", "db"]),
        ("vm start w", "/vm", [{"name": "web1"}, {"name": "db"}], ["web1"]),
        ("vm start web1 d", "/vm", [{"name": "web1"}, {"name": "db"}], ["db"]),
        ("vm migrate web1 -t ", "/node", [{"name": "hv1"}], ["hv1"]),
        ("network info ", "/network", [{"vni": 100}], ["100"]),
        ("storage volume add ", "/storage/ceph/pool", [{"name": "local"}], ["local"]),
        ("storage volume info local ", "/storage/ceph/volume", [{"pool": "local", "name": "a"}], ["a"]),
        ("vm volume add web1 ", "/storage/ceph/volume", [{"pool": "local", "name": "a"}], ["local/a"]),
    ],
)
def test_names_are_those_that_the_server_has(
    pvc: PVC, api: FakeAPI, line: str, asked: str, answer: list[dict[str, object]], names: list[str]
) -> None:
    api.tell(f"GET {asked}", Answer(answer))
    assert offered(pvc, *line.split(" ")) == names


def test_volumes_are_those_of_the_pool_that_stands_before(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /storage/ceph/volume", Answer([]))
    offered(pvc, "storage", "volume", "info", "fast", "")
    assert api.request.query == {"pool": ["fast"]}


def test_the_server_that_the_line_names_is_asked(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /vm", Answer([{"name": "web1"}]))
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
    api.hold("GET /vm", until="GET /never")
    result = pvc("--complete", "vm", "info", "", environment={"PVC_COMPLETION_S": ""})
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "", "")


def test_a_refusal_is_nothing_to_tell_somebody_who_has_not_finished(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /vm", Answer({"message": "No.", "code": "unauthenticated"}, 401))
    assert offered(pvc, "vm", "info", "") == []


def test_bash_completes_by_it(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell("GET /vm", Answer([{"name": "web1"}, {"name": "web2"}]))
    program = tmp_path / "pvc"
    program.write_text(f'#!/bin/sh\nexec {" ".join(pvc.command)} "$@"\n')
    program.chmod(0o755)
    script = f'{BASH}\nCOMP_WORDS=({program} vm start we) COMP_CWORD=3; _pvc; printf "%s\\n" "${{COMPREPLY[@]}}"'
    shell = PVC(["bash", "-c", script], pvc.environment)
    assert shell().stdout == "web1\nweb2\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_it_can_read(pvc: PVC, shell: str) -> None:
    script = pvc("completion", shell).stdout
    assert "--complete" in script
    if shell == "bash":
        subprocess.run(["bash", "-n", "-c", script], check=True)
