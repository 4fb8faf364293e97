"""Which command a command line names. Done by hand: building a parser for all of them costs more than running one."""

from __future__ import annotations

from pvc.cli.failure import Failure
from pvc.cli.registry import COMMANDS, GROUPS

HELP = ["--help"]
# Options that may also stand before the command; each takes a value.
LEADING = ("-c", "--cluster", "--token-file", "--ca", "-f", "--format", "--output")
# Some commands have a -f or --format of their own, none an --output.
_FORM = ("-f", "--format")
# Other names of commands.
ALIASES = {"vm tag list": "vm tag get", "vm network list": "vm network get", "vm volume list": "vm volume get"}


def split(argv: list[str]) -> tuple[str, list[str], bool]:
    """Return a name, the arguments that are left, and whether the name is a command's rather than a group's.

    A group's arguments are HELP when help was asked for. Raises Failure "usage", with the nearest match.
    """
    leading, words = _leading(argv)
    name = ""
    while words and name not in COMMANDS:
        if words[0] in ("-h", "--help"):
            return name, HELP, False
        longer = named(f"{name} {words[0]}".strip())
        if longer not in COMMANDS and longer not in GROUPS:
            raise _unknown(longer, name)
        name, words = longer, words[1:]
    return name, leading + words, name in COMMANDS


def _leading(argv: list[str]) -> tuple[list[str], list[str]]:
    end = 0
    while end < len(argv) and argv[end].startswith("-") and argv[end] not in ("-h", "--help"):
        option, equals, _ = argv[end].partition("=")
        if option not in LEADING:
            raise Failure("usage", f'Option "{option}" is not known here: see "pvc --help".')
        if option in _FORM:
            argv = [*argv[:end], f"--output{argv[end].removeprefix(option)}", *argv[end + 1 :]]
        end += 1 if equals else 2
    return argv[:end], argv[end:]


def named(words: str) -> str:
    """The command that they are another name of, else themselves."""
    return ALIASES.get(words, words)


def _unknown(words: str, group: str) -> Failure:
    from pvc.cli.unbuilt import unbuilt

    if found := unbuilt(words):
        return found
    near = _nearest(words, group)
    hint = f'did you mean "pvc {near}"?' if near else f'see "pvc {group} --help".'.replace("  ", " ")
    return Failure("usage", f'No command "{words}": {hint}')


def _nearest(words: str, group: str) -> str | None:
    from difflib import get_close_matches

    known = [*COMMANDS, *GROUPS, "serve", "agent"]
    elsewhere = [name for name in known if name.rpartition(" ")[2] == words]
    if len(elsewhere) == 1:
        return elsewhere[0]
    inside = [name for name in known if name.startswith(group)]
    return next(iter(get_close_matches(words, inside, n=1)), None)
