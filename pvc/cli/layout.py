"""Answers laid out for people, as lines of text. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pvc.units import KIB, MIB, format_size

Row = Mapping[str, Any]
# A title and what stands under it: a field's name, or a function of the row. A title that begins with ">" is set right.
Column = tuple[str, str | Callable[[Row], object]]


def table(rows: Iterable[Row], columns: Sequence[Column], *, headers: bool = True) -> Iterator[str]:
    """Yield a header and one line per row; "-" where there is nothing to show."""
    cells = [[title.lstrip(">") for title, _ in columns]] if headers else []
    cells += [[cell(value_of(row, source)) for _, source in columns] for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (
            " " * (wide - width(text)) + text if title.startswith(">") else text + " " * (wide - width(text))
            for text, wide, (title, _) in zip(line, widths, columns, strict=True)
        )
        yield "  ".join(padded).rstrip()


def sheet(facts: Sequence[tuple[str, object]]) -> Iterator[str]:
    """Yield one line per fact, values under each other."""
    longest = max(len(name) for name, _ in facts)
    for name, value in facts:
        yield f"{name:<{longest}}  {cell(value)}"


def section(title: str, rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[str]:
    """Yield a titled, indented table after an empty line; nothing at all when there are no rows."""
    if rows:
        yield ""
        yield title
        yield from (f"  {line}" for line in table(rows, columns))


def cell(value: object) -> str:
    """Return `value` on one line that no terminal takes for a command."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(cell, value))
        case _:
            return printable(str(value))


def printable(text: str) -> str:
    """Replace every control character by a space."""
    return "".join(char if char.isprintable() else " " for char in text)


def width(text: str) -> int:
    """Return how many terminal columns `text` takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def size(value: object) -> object:
    """Return bytes as people write them; anything that is not a number as it is."""
    return format_size(value) if isinstance(value, int) else value


def mebibytes(value: object) -> object:
    """As `size`, for the fields that the API counts in MiB."""
    return format_size(value * MIB) if isinstance(value, int) else value


def memory_of(vm: Row) -> object:
    """What a VM is to have, and with it what its guest has until it is started again."""
    wanted, has = vm.get("memory"), vm.get("memory_stats", {}).get("actual")
    if not isinstance(wanted, int) or not isinstance(has, int) or abs(wanted * MIB - has * KIB) < MIB:
        return mebibytes(wanted)
    return f"{mebibytes(wanted)} at its next start, now {size(has * KIB)}"


def known(value: object) -> object:
    """Return None for the words by which the API says in some fields that there is nothing."""
    return None if value in ("", "None", "N/A") else value


def moment(seconds: float | None) -> str:
    """Return seconds since the epoch as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def coloured(diff: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a unified diff: removed red, added green, places cyan."""
    colours = {"-": "31", "+": "32", "@": "36"}
    for line in diff:
        colour = colours.get(line[:1])
        yield f"\x1b[{colour}m{line}\x1b[0m" if colour else line


def value_of(row: Row, source: str | Callable[[Row], object]) -> object:
    return row.get(source) if isinstance(source, str) else source(row)
