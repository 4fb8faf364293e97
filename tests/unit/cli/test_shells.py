"""bash, zsh and fish at a terminal, completing by the scripts that pvc gives them."""

from __future__ import annotations

import os
import pty
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pvc.cli.commands.completion import SHELLS
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI

Typed = Callable[..., str]

# How each is started without anybody's own files, and how it reads the script.
START = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"], "fish": ["fish", "-N", "-i"]}
READ = {"bash": ". ./script", "zsh": "autoload -U compinit && compinit -D -u && . ./script", "fish": "source ./script"}
READY = b"all is read"


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    assert shutil.which(name), f"{name} is missing: packaging/install-deps installs it."
    return name


@pytest.fixture
def typed(shell: str, pvc: PVC, tmp_path: Path) -> Typed:
    """Types into a fresh shell until it ends, and returns all that it showed."""
    program = tmp_path / "pvc"
    program.write_text(f'#!/bin/sh\nexec {" ".join(pvc.command)} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(SHELLS[shell])
    (tmp_path / "machine.xml").write_text("<domain/>")
    here = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "PYTHONPATH": os.getcwd(),
    }

    def type_(keys: str, **more: str) -> str:
        return played(START[shell], READ[shell], keys, tmp_path, {**pvc.environment, **here, **more})

    return type_


def played(command: list[str], setup: str, keys: str, folder: Path, environment: dict[str, str]) -> str:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, environment)
    try:
        os.write(terminal, f"{setup}; printf 'all is %s\\n' read\r".encode())
        shown = heard(terminal, READY)
        os.write(terminal, f"{keys}\rexit\r".encode())
        return (shown + heard(terminal)).decode(errors="replace")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def heard(terminal: int, until: bytes | None = None) -> bytes:
    """What the terminal shows up to `until`, or to its end."""
    shown = b""
    while until is None or until not in shown:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # how Linux says that nobody has the other end any more
            return shown
    return shown


def test_commands_and_names_are_completed(typed: Typed, api: FakeAPI) -> None:
    api.tell("GET /names", Answer({"names": ["web1"], "more": False}))
    shown = typed("pvc vm sta\tw\t--no-w\t")
    assert [request.path for request in api.requests] == ["/names", "/vm/web1/state"], shown
    assert api.change.json["state"] == "start"


def test_what_several_names_begin_with_is_filled_in(typed: Typed, api: FakeAPI) -> None:
    api.tell("GET /names", Answer({"names": ["web1", "web2"], "more": False}))
    shown = typed("pvc vm start w\t2 --no-wait")
    assert api.requests[-1].path == "/vm/web2/state", shown


def test_files_are_completed_where_one_is_wanted(typed: Typed, api: FakeAPI) -> None:
    shown = typed("pvc vm define mach\t")
    assert [request.path for request in api.requests] == ["/vm"], shown
    assert api.change.json["xml"] == "<domain/>"


def test_a_server_with_a_colon_is_asked(typed: Typed, api: FakeAPI) -> None:
    api.tell("GET /names", Answer({"names": ["web1"], "more": False}))
    shown = typed(f"pvc -c {api.url} vm start --no-wait w\t", PVC_URL="unix:/nowhere")
    assert api.requests[-1].path == "/vm/web1/state", shown


def test_what_has_a_colon_or_an_equals_sign_is_completed(typed: Typed, api: FakeAPI) -> None:
    api.tell("GET /names", Answer({"names": ["team:red=1"], "more": False}))
    shown = typed("pvc vm tag add web1 team:r\t --format=j\t")
    assert api.requests[-1].json["tag"] == "team:red=1", shown
    assert '"message"' in shown
