"""The passphrase of a backup's secrets: from a file or the terminal, never from the command line, which others see."""

from __future__ import annotations

import sys
from argparse import ArgumentParser

from pvc.cli.failure import Failure


def arguments(parser: ArgumentParser) -> None:
    text = "the passphrase is the first line of this file; default: it is asked for on the terminal"
    parser.add_argument("--passphrase-file", metavar="FILE", help=text)


def of_new(file: str | None) -> str:
    """For secrets that are to be locked: asked for twice."""
    if file is not None:
        return of_file(file)
    if not _has_terminal():
        raise Failure("usage", "There is no terminal to ask for the passphrase on: name a file by --passphrase-file.")
    given = _ask("Passphrase for the secrets: ")
    if _ask("The same again: ") != given:
        raise Failure("usage", "The two are not the same; nothing was written.")
    return given


def of_old() -> str:
    """For secrets that are to be opened; "" to go on without them."""
    return _ask("Passphrase of the backup's secrets (none: without them): ") if _has_terminal() else ""


def of_file(name: str) -> str:
    from pvc.cli.document import read

    given = read(name).partition("\n")[0].removesuffix("\r")
    if not given:
        raise Failure("usage", f'The file "{name}" has no passphrase in its first line.')
    return given


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(question: str) -> str:
    from getpass import getpass

    try:
        return getpass(question, sys.stderr)
    except EOFError as exc:
        raise Failure("declined", "Nothing was changed.") from exc
