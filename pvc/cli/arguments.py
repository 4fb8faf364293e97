"""The argument parser of one command, and the options that every command has."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import NoReturn

from pvc.cli.connection import DEFAULT_URL
from pvc.cli.failure import Failure
from pvc.cli.output import columns
from pvc.cli.registry import Command


class _Help(RawDescriptionHelpFormatter):
    """As its base, which would load `shutil` for the width, even when no help is asked for."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns(sys.stdout))


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Failure("usage", f'{message[:1].upper()}{message[1:]}; see "{self.prog} --help".')


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
    everywhere.add_argument("-f", "--output", choices=("table", "json"), default="table", help="default: table")
    everywhere.add_argument(
        "-c",
        "--cluster",
        metavar="URL",
        default=os.environ.get("PVC_URL") or DEFAULT_URL,
        help=f"unix:/PATH, http://HOST:PORT or https://HOST:PORT; default: $PVC_URL or {DEFAULT_URL}",
    )
    everywhere.add_argument(
        "--token-file",
        metavar="FILE",
        default=os.environ.get("PVC_TOKEN_FILE", ""),
        help="file of the API token; default: $PVC_TOKEN_FILE, or $PVC_TOKEN is the token",
    )
    everywhere.add_argument("--ca", metavar="FILE", default="", help="certificates (PEM) that https trusts")
    command.arguments(parser)
    return parser


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
