"""What a command line may go on with, from the declarations of the commands and, for names, from the server.

The shells' own scripts only ask for it: `pvc --complete WORD...`, the last word being the one that is not finished.
"""

from __future__ import annotations

from argparse import Action
from collections.abc import Iterator
from os import environ

from pvc.cli.registry import COMMANDS, GROUPS, load
from pvc.cli.words import LEADING

# What a shell completes by itself.
FILES = ":files"
# What stands for a name in a command's declaration, and the kind of the thing that is named.
KINDS = {
    "VM": "vm",
    "NODE": "node",
    "POOL": "pool",
    "VOLUME": "volume",
    "POOL/VOLUME": "pool/volume",
    "NET": "network",
    "VNI": "network",
    "ID": "task",
    "TOKEN": "token",
}
_DAEMONS = ("serve", "agent")
# A completion that takes longer disturbs more than it helps; a server far away is given more.
# PVC_COMPLETION_S says otherwise.
_NEAR_S, _FAR_S = 0.08, 0.4

Candidate = tuple[str, str]


def complete(words: list[str]) -> list[str]:
    """Return what the last word may become: lines of a word, a tab and what it means; or FILES alone."""
    *before, current = words or [""]
    name, rest = _command_of(before)
    found = list(_arguments(name, rest, current, before) if name in COMMANDS else _names(name, rest))
    if found == [(FILES, "")]:
        return [FILES]
    return [f"{word}\t{text}" for word, text in found if word.startswith(current)]


def _command_of(words: list[str]) -> tuple[str, list[str]]:
    """Return the command or group that the words name, and what follows it."""
    while words and words[0].partition("=")[0] in LEADING:
        words = words[1 if "=" in words[0] else 2 :]
    name = ""
    while words and name not in COMMANDS and (longer := f"{name} {words[0]}".strip()) in (*COMMANDS, *GROUPS):
        name, words = longer, words[1:]
    return name, words


def _names(group: str, rest: list[str]) -> Iterator[Candidate]:
    if rest:
        return
    prefix = f"{group} " if group else ""
    below = dict.fromkeys(name.removeprefix(prefix).partition(" ")[0] for name in COMMANDS if name.startswith(prefix))
    for word in below:
        full = prefix + word
        yield word, GROUPS.get(full) or load(full).HELP
    if not group:
        yield from ((mode, "daemon") for mode in _DAEMONS)


def _arguments(name: str, rest: list[str], current: str, words: list[str]) -> Iterator[Candidate]:
    from pvc.cli.arguments import command_parser

    actions = command_parser(name, load(name))._actions
    options = {option: action for action in actions for option in action.option_strings}
    places, awaited, given = [action for action in actions if not action.option_strings], None, []
    for word in rest:
        if awaited is not None:
            awaited = None
        elif word in options:
            awaited = options[word] if options[word].nargs != 0 else None
        elif not word.startswith("-"):
            given.append(word)
    if awaited is None and current.startswith("-"):
        yield from ((option, options[option].help or "") for option in options)
        return
    action = awaited or (places[min(len(given), len(places) - 1)] if _takes(places, len(given)) else None)
    if action is not None:
        yield from _values(action, places, given, words)


def _takes(places: list[Action], given: int) -> bool:
    return given < len(places) or bool(places and places[-1].nargs in ("*", "+"))


def _values(action: Action, places: list[Action], given: list[str], words: list[str]) -> Iterator[Candidate]:
    metavar = str(action.metavar)
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif metavar == "FILE":
        yield FILES, ""
    elif metavar == "CLUSTER":
        from pvc.cli.clusters import load as clusters

        yield from ((name, cluster["address"]) for name, cluster in clusters().items())
    elif metavar in KINDS:
        pool = next((word for place, word in zip(places, given, strict=False) if place.metavar == "POOL"), None)
        yield from _live(KINDS[metavar], pool, words)


def _live(kind: str, pool: str | None, words: list[str]) -> Iterator[Candidate]:
    """words: of the line, which may say which server is meant."""
    from pvc.cli.arguments import client, command_parser
    from pvc.cli.names import names

    args, _ = command_parser("status", load("status")).parse_known_args(_connection(words))
    api = client(args)
    patience_s = float(environ.get("PVC_COMPLETION_S") or (_NEAR_S if api.url.startswith("unix:") else _FAR_S))
    parameters = {"pool": pool} if kind == "volume" and pool else {}
    yield from ((name, kind) for name in names(api, kind, patience_s, **parameters))


def _connection(words: list[str]) -> list[str]:
    """Return the options among `words` that say where the server is."""
    found: list[str] = []
    for number, word in enumerate(words):
        if word in LEADING:
            found += words[number : number + 2]
        elif word.partition("=")[0] in LEADING:
            found.append(word)
    return found
