"""Writes pvc's command reference and man pages from the declarations of its commands.

reference.py markdown          docs/commands.md, to standard output
reference.py man FOLDER        pvc.1, and pvc-NAME.1 for each group of commands and each daemon
"""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser, HelpFormatter
from collections.abc import Iterator
from pathlib import Path

from pvc import __version__, daemon
from pvc.cli.arguments import command_parser
from pvc.cli.help import group_help
from pvc.cli.registry import COMMANDS, GROUPS, load

GENERAL = ("with every command", "with every list")
ENVIRONMENT = {
    "PVC_CLUSTER": 'the cluster to speak to: a name of "pvc cluster list" or an address',
    "PVC_URL": "the address of the server, where neither -c nor PVC_CLUSTER says",
    "PVC_TOKEN_FILE": "file of the API token",
    "PVC_TOKEN": "the API token itself",
    "PVC_CONFIG": "configuration of pvc serve, pvc agent and pvc doctor, instead of /etc/pvc/pvc.toml",
    "NO_COLOR": "not empty: no colours, even on a terminal",
    "VISUAL, EDITOR": "the editor that vm modify --editor opens",
}
FILES = {
    "/etc/pvc/pvc.toml": "configuration of the daemons, each option explained",
    "~/.config/pvc/clusters.json": "what pvc cluster add keeps",
    "/run/pvc/pvc.sock": "where pvc serve answers root without a token",
}
OF_DAEMONS = ("PVC_CONFIG", "/etc/pvc/pvc.toml", "/run/pvc/pvc.sock")


def parser_of(name: str) -> ArgumentParser:
    """name: of a command, or of a daemon."""
    return daemon.parser(name) if name in daemon.MODES else command_parser(name, load(name))


def usage(name: str) -> str:
    """Without the options that every command has."""
    parser = parser_of(name)
    own = [action for group in own_groups(parser) for action in group]
    formatter = HelpFormatter(parser.prog, width=10_000)
    formatter.add_usage(None, own, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def own_groups(parser: ArgumentParser) -> list[list[Action]]:
    groups = [group for group in parser._action_groups if group.title not in GENERAL]
    return [[action for action in group._group_actions if action.dest != "help"] for group in groups]


def options(name: str) -> Iterator[tuple[str, str]]:
    for group in own_groups(parser_of(name)):
        for action in group:
            yield _called(action), _meaning(action)


def general_options(title: str) -> Iterator[tuple[str, str]]:
    for group in parser_of("vm list")._action_groups:
        if group.title == title:
            yield from ((_called(action), _meaning(action)) for action in group._group_actions)


def _called(action: Action) -> str:
    value = "" if action.nargs == 0 else " " + _value(action)
    return ", ".join(action.option_strings) + value if action.option_strings else _value(action)


def _value(action: Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def _meaning(action: Action) -> str:
    return (action.help or "").replace("%%", "%")


def markdown() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "Made from the commands' own declarations (`make reference`); `pvc COMMAND --help` prints the same."
    for title in GENERAL:
        yield from ("", f"## {title.capitalize()}", "")
        yield from _table(general_options(title))
    for noun in nouns():
        yield from ("", f"## pvc {noun}")
        for name in commands_of(noun):
            yield from _command(name)
    for name in daemon.MODES:
        yield from ("", f"## pvc {name}", "", parser_of(name).description or "", "")
        yield from ("```", usage(name), "```", "")
        yield from _table(options(name))


def _command(name: str) -> Iterator[str]:
    command = load(name)
    yield from ("", f"### pvc {name}", "", f"{_sentence(command.HELP)}", "")
    yield from ("```", usage(name), "```", "")
    rows = list(options(name))
    if rows:
        yield from _table(iter(rows))
        yield ""
    yield f"Example: `pvc {name} {command.EXAMPLE}".rstrip() + "`"


def _table(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for called, meaning in rows:
        yield f"| `{_escaped(called)}` | {_escaped(meaning)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def nouns() -> list[str]:
    return list(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))


def commands_of(noun: str) -> list[str]:
    return [name for name in COMMANDS if name.partition(" ")[0] == noun]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def man_page(noun: str) -> Iterator[str]:
    what = GROUPS.get(noun) or load(noun).HELP
    yield from _head(f"pvc-{noun}", what)
    yield ".SH DESCRIPTION"
    yield _roff(_sentence(what))
    for name in commands_of(noun):
        command = load(name)
        yield from (f'.SH "{name.upper()}"', _roff(_sentence(command.HELP)), ".PP", f".B {_roff(usage(name))}")
        yield from _listed(options(name))
        yield from (".PP", "Example:", ".PP", ".RS", _roff(f"pvc {name} {command.EXAMPLE}".rstrip()), ".RE")
    for title in GENERAL:
        yield f'.SH "OPTIONS {title.upper()}"'
        yield from _listed(general_options(title))
    yield from (".SH SEE ALSO", ".BR pvc (1)")


def daemon_page(name: str) -> Iterator[str]:
    yield from _head(f"pvc-{name}", daemon.MODES[name])
    yield from (".SH SYNOPSIS", f".B {_roff(usage(name))}")
    yield from (".SH DESCRIPTION", _roff(parser_of(name).description or ""))
    yield ".SH OPTIONS"
    yield from _listed(options(name))
    for title, entries in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        yield from _listed((term, text) for term, text in entries.items() if term in OF_DAEMONS)
    yield from (".SH SEE ALSO", ".BR pvc (1)")


def main_page() -> Iterator[str]:
    yield from _head("pvc", "a virtual-machine cluster in one executable")
    yield ".SH DESCRIPTION"
    yield ".nf"
    yield from (_roff(line) for line in group_help("").splitlines())
    yield ".fi"
    for title, entries in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        yield from _listed(iter(entries.items()))
    yield ".SH SEE ALSO"
    yield from (f".BR pvc-{name} (1)" for name in (*nouns(), *daemon.MODES))


def _head(name: str, what: str) -> Iterator[str]:
    yield f'.TH {name.upper()} 1 "" "pvc {__version__}" "pvc"'
    yield from (".SH NAME", f"{_roff(name)} \\- {_roff(what)}")


def _listed(entries: Iterator[tuple[str, str]]) -> Iterator[str]:
    for term, text in entries:
        yield from (".TP", f".B {_roff(term)}", _roff(text) or "\\&")


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main(arguments: list[str]) -> None:
    match arguments:
        case ["markdown"]:
            print("\n".join(markdown()))
        case ["man", folder]:
            pages = {"pvc": main_page(), **{f"pvc-{noun}": man_page(noun) for noun in nouns()}}
            pages |= {f"pvc-{name}": daemon_page(name) for name in daemon.MODES}
            for name, lines in pages.items():
                Path(folder, f"{name}.1").write_text("\n".join(lines) + "\n")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
