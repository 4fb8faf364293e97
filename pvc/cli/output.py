"""Results go to stdout, for people or for machines; everything else goes to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from pvc.cli.failure import Failure
from pvc.cli.layout import Column, coloured, printable, table


class Output:
    """How results are shown.

    form: "table", "json", "yaml", and of lists "csv" or "raw". columns: what a list may show; None for all else.
    wanted: names of the columns that are asked for, with commas. quiet: nothing but results of questions.
    """

    def __init__(
        self,
        form: str,
        *,
        columns: Sequence[Column] | None = None,
        wanted: str = "",
        headers: bool = True,
        quiet: bool = False,
    ) -> None:
        self.machine = form in ("json", "yaml")
        self._form, self._columns, self._wanted, self._headers = form, columns, wanted, headers
        self.quiet = quiet

    def show(self, answer: Any, lay_out: Callable[[Any], Iterable[str]]) -> None:
        """Print `answer` in the form that was asked for: for people a list by its columns, all else by `lay_out`."""
        for line in self._lines(answer, lay_out):
            print(line)

    def _lines(self, answer: Any, lay_out: Callable[[Any], Iterable[str]]) -> Iterable[str]:
        if self._form == "json":
            return [json.dumps(answer, indent=2)]
        if self._form == "yaml":
            from pvc.cli.forms import yaml

            return yaml(answer)
        if self._columns is not None and isinstance(answer, list):
            return self._listed(answer, self._columns)
        return lay_out(answer)

    def _listed(self, rows: list[Any], columns: Sequence[Column]) -> Iterable[str]:
        if self._form == "table" and not self._wanted:
            return table(rows, columns, headers=self._headers)
        from pvc.cli.forms import chosen, csv, raw

        picked = chosen(columns, self._wanted)
        if self._form == "csv":
            return csv(rows, picked, headers=self._headers)
        if self._form == "raw":
            return raw(rows, picked if self._wanted else picked[:1])
        return table(rows, picked, headers=self._headers)

    def raw(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)

    def changed(self, answer: Any) -> None:
        """Print what the API says it did."""
        if self.machine or not self.quiet:
            self.show(answer, lambda answer: [printable(answer["message"])])

    def again(self) -> None:
        """Before a list is shown once more: a terminal is cleared."""
        print("\x1b[H\x1b[2J" if sys.stdout.isatty() else "", end="" if sys.stdout.isatty() else "\n")

    def diff(self, text: str) -> None:
        lines = text.splitlines()
        for line in coloured(lines) if _takes_colour(sys.stdout) else lines:
            print(line)

    def note(self, text: str) -> None:
        if not self.quiet:
            sys.stdout.flush()  # what was said before stands before it, also where both go into one file
            print(text, file=sys.stderr)


def confirm(question: str, *, agreed: bool) -> None:
    """Return when the answer is yes, or `agreed` says it was given with -y.

    Raises Failure: "declined", or "usage" when there is no terminal to ask on.
    """
    if agreed:
        return
    sys.stdout.flush()
    if not is_watched():
        raise Failure("usage", "This needs a confirmation and there is no terminal to ask on: add -y.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("declined", "Nothing was changed.")


def ask(question: str, *, agreed: bool) -> None:
    """As `confirm` where there is somebody to ask; what nobody watches goes on, as it always did."""
    if is_watched():
        confirm(question, agreed=agreed)


def is_watched() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


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
