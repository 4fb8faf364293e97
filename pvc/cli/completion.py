"""What a command line may go on with, from the declarations of the commands and, for names, from the server.

The shells' own scripts only ask for it: `pvc --complete WORD...`, the last word being the one that is not finished.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator
from itertools import pairwise
from os import environ

from pvc.cli.registry import COMMANDS, GROUPS, load
from pvc.cli.words import LEADING, named

# What a shell completes by itself.
FILES = ":files"
# What stands for a name in a command's declaration, and the kind of the thing that is named.
KINDS = {
    "VM": "vm",
    "NODE": "node",
    "POOL": "pool",
    "VOLUME": "volume",
    "POOL/VOLUME": "volume",
    "OVA": "ova",
    "TAG": "tag",
    "GENERATION": "generation",
    "NET": "network",
    "VNI": "network",
    "ID": "task",
    "TOKEN": "token",
    "OSD": "osd",
}
_DAEMONS = ("serve", "agent")
# A completion that takes longer disturbs more than it helps. PVC_COMPLETION_S says otherwise.
_PATIENCE_S = 0.4

Candidate = tuple[str, str]


def complete(words: list[str]) -> list[str]:
    """Return what the last word may become: lines of a word, a tab and what it means; or FILES alone."""
    *before, current = words or [""]
    name, rest = _command_of(before)
    found = list(_arguments(name, rest, current, before) if name in COMMANDS else _names(name, rest, current))
    if found == [(FILES, "")]:
        return [FILES]
    return [f"{word}\t{text}" for word, text in found if word.startswith(current)]


def _command_of(words: list[str]) -> tuple[str, list[str]]:
    """Return the command or group that the words name, and what follows it."""
    while words and words[0].partition("=")[0] in LEADING:
        words = words[1 if "=" in words[0] else 2 :]
    name = ""
    while words and name not in COMMANDS and (longer := named(f"{name} {words[0]}".strip())) in (*COMMANDS, *GROUPS):
        name, words = longer, words[1:]
    return name, words


def _names(group: str, rest: list[str], current: str) -> Iterator[Candidate]:
    """Only what is offered is loaded, for its HELP."""
    if rest:
        return
    prefix = f"{group} " if group else ""
    below = dict.fromkeys(name.removeprefix(prefix).partition(" ")[0] for name in COMMANDS if name.startswith(prefix))
    for word in (word for word in below if word.startswith(current)):
        full = prefix + word
        yield word, GROUPS.get(full) or load(full).HELP
    if not group:
        yield from ((mode, "daemon") for mode in _DAEMONS)


def _arguments(name: str, rest: list[str], current: str, words: list[str]) -> Iterator[Candidate]:
    from pvc.cli.arguments import command_parser

    parser = command_parser(name, load(name))
    options = {option: action for action in parser._actions for option in action.option_strings}
    places = [action for action in parser._actions if not action.option_strings]
    awaited, given = _read(rest, options)
    option, equals, begun = current.partition("=")
    if awaited is None and equals and option in options:
        found = _values(options[option], {}, begun, parser, words)
        yield from ((f"{option}={word}", text) for word, text in found if word != FILES)
    elif awaited is None and current.startswith("-"):
        yield from ((option, options[option].help or "") for option in options)
    elif action := awaited or _place(places, len(given)):
        yield from _values(action, dict(zip(map(_metavar, places), given, strict=False)), current, parser, words)


def _read(words: list[str], options: dict[str, Action]) -> tuple[Action | None, list[str]]:
    """Return the option whose value comes next, and what was given for no option."""
    awaited, given = None, []
    for word in words:
        if awaited is not None:
            awaited = None
        elif word in options:
            awaited = options[word] if options[word].nargs != 0 else None
        elif not word.startswith("-"):
            given.append(word)
    return awaited, given


def _place(places: list[Action], given: int) -> Action | None:
    """The last one may take any number."""
    if given < len(places):
        return places[given]
    return places[-1] if places and places[-1].nargs in ("*", "+") else None


def _metavar(action: Action) -> str:
    return str(action.metavar)


def _values(
    action: Action, given: dict[str, str], current: str, parser: ArgumentParser, words: list[str]
) -> Iterator[Candidate]:
    """given: by what stands for it in the declaration."""
    metavar = _metavar(action)
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif metavar == "FILE":
        yield FILES, ""
    elif metavar == "ROLE":
        from pvc.cli.commands.doctor import ROLES

        yield from ((role, "") for role in ROLES)
    elif metavar == "CLUSTER":
        from pvc.cli.clusters import load as clusters

        yield from ((name, cluster["address"]) for name, cluster in clusters().items())
    elif metavar in KINDS:
        pool = given.get("POOL") if metavar == "VOLUME" else None
        yield from _live(KINDS[metavar], current, pool, _server(parser, words))


def _live(kind: str, prefix: str, pool: str | None, server: Namespace) -> Iterator[Candidate]:
    from pvc.cli.arguments import client
    from pvc.cli.names import names

    api = client(server)
    patience_s = float(environ.get("PVC_COMPLETION_S") or _PATIENCE_S)
    yield from ((name, kind) for name in names(api, kind, patience_s, prefix=prefix, pool=pool))


def _server(parser: ArgumentParser, words: list[str]) -> Namespace:
    """Which one the line means, so far as it says so."""
    said = {_destination(option): parser.get_default(_destination(option)) for option in LEADING}
    for word, following in pairwise((*words, "")):
        option, equals, value = word.partition("=")
        if option in LEADING:
            said[_destination(option)] = value if equals else following
    return Namespace(**said)


def _destination(option: str) -> str:
    return "cluster" if option == "-c" else option.strip("-").replace("-", "_")
