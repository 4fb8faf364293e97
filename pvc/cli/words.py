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
# What other programs call the same; of several the one that keeps more comes first.
SYNONYMS = {
    "add": ("define",),
    "attach": ("add",),
    "create": ("define", "add"),
    "del": ("undefine", "remove"),
    "delete": ("undefine", "remove"),
    "destroy": ("stop", "remove"),
    "detach": ("remove",),
    "edit": ("modify",),
    "kill": ("stop",),
    "ls": ("list",),
    "new": ("define", "add"),
    "poweroff": ("shutdown", "stop"),
    "reboot": ("restart",),
    "reset": ("restart",),
    "rm": ("undefine", "remove"),
    "show": ("info", "list"),
}
# Places of the same name that are still told apart at a glance.
_FEW = 3


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
    near = " or ".join(f'"pvc {name}"' for name in _near(words, group))
    hint = f"did you mean {near}?" if near else f'see "pvc {group} --help".'.replace("  ", " ")
    return Failure("usage", f'No command "{words}": {hint}')


def _near(words: str, group: str) -> list[str]:
    """What is called so by other programs, else what is called so elsewhere, else what is written like it."""
    from difflib import get_close_matches

    said = words.removeprefix(group).strip()
    if said == "help":
        return []
    known = [*COMMANDS, *GROUPS, "serve", "agent"]
    inside = {name.removeprefix(group).strip(): name for name in known if name.startswith(group)}
    if meant := [inside[other] for other in SYNONYMS.get(said, ()) if other in inside]:
        return meant
    elsewhere = [name for name in known if name.rpartition(" ")[2] == said]
    if 0 < len(elsewhere) <= _FEW:
        return elsewhere
    return [inside[near] for near in get_close_matches(said, inside, n=1)]
