"""Results go to stdout, for people or for machines; everything else goes to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from pvc.cli.failure import Failure
from pvc.cli.layout import coloured, printable


class Output:
    def __init__(self, form: str) -> None:
        """form: "table" or "json"."""
        self.machine = form == "json"

    def show(self, answer: Any, lay_out: Callable[[Any], Iterable[str]]) -> None:
        """Print `answer` as JSON, or the lines that `lay_out` makes of it."""
        if self.machine:
            print(json.dumps(answer, indent=2))
        else:
            for line in lay_out(answer):
                print(line)

    def raw(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)

    def changed(self, answer: Any) -> None:
        """Print what the API says it did."""
        self.show(answer, lambda answer: [printable(answer["message"])])

    def diff(self, text: str) -> None:
        lines = text.splitlines()
        for line in coloured(lines) if _takes_colour(sys.stdout) else lines:
            print(line)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)


def confirm(question: str, *, agreed: bool) -> None:
    """Return when the answer is yes, or `agreed` says it was given with -y.

    Raises Failure: "declined", or "usage" when there is no terminal to ask on.
    """
    if agreed:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Failure("usage", "This needs a confirmation and there is no terminal to ask on: add -y.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("declined", "Nothing was changed.")


def columns(stream: TextIO) -> int:
    """Return how wide the terminal of `stream` is, or is said to be; 80 when nobody knows."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def _takes_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")
