"""The argument parser of one command, and the options that every command has."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import NoReturn

from pvc.cli.client import Client
from pvc.cli.connection import DEFAULT_URL
from pvc.cli.failure import Failure
from pvc.cli.output import columns
from pvc.cli.registry import Command

# How argparse begins its complaint about what no declaration takes.
_UNKNOWN = "unrecognized arguments: "
_WATCH = "show it again whenever it changes, until interrupted; what no event tells of, every two seconds"
_FORMS = "default: table"
_FORMS_OF_LISTS = "default: table. csv: all columns. raw: only the first, or those of --columns with tabs between them"


class _Help(RawDescriptionHelpFormatter):
    """As its base, which would load `shutil` for the width, even when no help is asked for."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns(sys.stdout))


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.startswith(_UNKNOWN):
            raise Failure("usage", self._unknown(message.removeprefix(_UNKNOWN).split(" ")[0]))
        raise Failure("usage", f'{message[:1].upper()}{message[1:]}; see "{self.prog} --help".')

    def _unknown(self, word: str) -> str:
        from difflib import get_close_matches

        see = f'see "{self.prog} --help".'
        if not word.startswith("-"):
            return f'"{word}" is more than this takes; {see}'
        near = get_close_matches(word.partition("=")[0], self._option_string_actions, n=1, cutoff=0.7)
        meant = f'did you mean "{near[0]}"? S{see[1:]}' if near else see
        return f'Option "{word}" is not known here{":" if near else ";"} {meant}'


def command_parser(name: str, command: Command) -> ArgumentParser:
    """Build the parser of one command; its own options win over those that every command has."""
    parser = _Parser(
        prog=f"pvc {name}",
        description=f"{command.HELP[:1].upper()}{command.HELP[1:]}.",
        epilog=f"Example:\n  pvc {name} {command.EXAMPLE}".rstrip(),
        formatter_class=_Help,
        allow_abbrev=False,
        conflict_handler="resolve",
    )
    everywhere = parser.add_argument_group("with every command")
    columns = getattr(command, "COLUMNS", None)
    forms = ("table", "json", "yaml", *(("csv", "raw") if columns else ()))
    text = _FORMS_OF_LISTS if columns else _FORMS
    everywhere.add_argument("-f", "--format", "--output", dest="output", choices=forms, default="table", help=text)
    everywhere.add_argument("-q", "--quiet", action="store_true", help="print nothing but what was asked for")
    everywhere.add_argument(
        "-c",
        "--cluster",
        metavar="CLUSTER",
        default=os.environ.get("PVC_CLUSTER") or os.environ.get("PVC_URL") or DEFAULT_URL,
        help='a name of "pvc cluster list", unix:/PATH, http://HOST:PORT or https://HOST:PORT; '
        f"default: $PVC_CLUSTER, $PVC_URL or {DEFAULT_URL}",
    )
    everywhere.add_argument(
        "--token-file",
        metavar="FILE",
        default=os.environ.get("PVC_TOKEN_FILE", ""),
        help="file of the API token; default: $PVC_TOKEN_FILE, or $PVC_TOKEN is the token",
    )
    everywhere.add_argument("--ca", metavar="FILE", default="", help="certificates (PEM) that https trusts")
    if columns:
        _of_lists(parser, [title.lstrip(">").lower() for title, _ in columns])
    command.arguments(parser)
    return parser


def _of_lists(parser: ArgumentParser, columns: list[str]) -> None:
    lists = parser.add_argument_group("with every list")
    known = ", ".join(columns).replace("%", "%%")  # argparse fills in what follows a single one
    lists.add_argument("--columns", metavar="COLUMNS", default="", help=f"with commas, of: {known}")
    lists.add_argument("--no-headers", dest="headers", action="store_false", help="leave the titles out")
    lists.add_argument("--watch", action="store_true", help=_WATCH)


def client(args: Namespace) -> Client:
    """The client for where -c points. What stands on the command line wins over what is kept under a name."""
    address, token_file, ca = args.cluster, args.token_file, args.ca
    if ":" not in address:
        from pvc.cli.clusters import find

        kept = find(address)
        address, token_file, ca = kept["address"], token_file or kept["token_file"], ca or kept["ca"]
    return Client(address, token=token(token_file), ca=ca)


def token(file: str) -> str:
    """Return the API token in `file`, or PVC_TOKEN, or "" when there is none."""
    try:
        found = _first_line(file) if file else os.environ.get("PVC_TOKEN", "")
    except OSError as exc:
        raise Failure("usage", f'The token file "{file}" cannot be read: {exc.strerror}') from exc
    if not (found.isascii() and found.isprintable()):
        raise Failure("usage", f"What {file or 'PVC_TOKEN'} holds is no token.")
    return found


def _first_line(file: str) -> str:
    with open(file, encoding="ascii", errors="surrogateescape") as lines:
        return lines.readline().strip()
