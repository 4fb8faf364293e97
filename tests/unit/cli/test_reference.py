"""The command reference and the man pages are what the commands declare, and the commands declare everything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pvc.cli.arguments import command_parser
from pvc.cli.registry import COMMANDS, load
from pvc.daemon import MODES, parser

REPOSITORY = Path(__file__).parents[3]
PROGRAM = REPOSITORY / "packaging" / "reference.py"


def test_the_command_reference_is_up_to_date(request: pytest.FixtureRequest) -> None:
    kept = REPOSITORY / "docs" / "commands.md"
    made = subprocess.run([sys.executable, PROGRAM, "markdown"], capture_output=True, text=True, check=True).stdout
    if request.config.getoption("--regenerate"):
        kept.write_text(made)
    assert made == kept.read_text(), 'Run "make reference".'


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_explained(name: str) -> None:
    actions = command_parser(name, load(name))._actions
    silent = [action.option_strings[-1] for action in actions if action.option_strings and not action.help]
    assert silent == [], f'Give {", ".join(silent)} of "pvc {name}" a help= in pvc/cli/commands/.'


@pytest.mark.parametrize("mode", MODES)
def test_every_option_of_every_daemon_is_explained(mode: str) -> None:
    assert [action.option_strings for action in parser(mode)._actions if not action.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_takes_something_has_an_example(name: str) -> None:
    command = load(name)
    places = [action for action in command_parser(name, command)._actions if not action.option_strings]
    needs_one = any(action.nargs not in ("?", "*") for action in places)
    module = name.replace(" ", "_").replace("-", "_")
    assert command.EXAMPLE or not needs_one, f"Write a real use into EXAMPLE of pvc/cli/commands/{module}.py."


def test_man_pages_are_made_without_a_warning(tmp_path: Path) -> None:
    subprocess.run([sys.executable, PROGRAM, "man", tmp_path], check=True)
    pages = sorted(tmp_path.iterdir())
    named = {name.partition(" ")[0] for name in COMMANDS} | MODES.keys()
    assert {"pvc.1", *(f"pvc-{name}.1" for name in named)} == {page.name for page in pages}
    if shutil.which("groff"):
        said = subprocess.run(["groff", "-man", "-ww", "-z", *pages], capture_output=True, text=True, check=True)
        assert said.stderr == ""
