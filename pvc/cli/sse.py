"""Server-sent events as they come: blocks of "field: value" lines with an empty line between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def blocks(pieces: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """Yield the fields of each block; comments, which say that the connection lives, are left out."""
    fields: dict[str, str] = {}
    for line in _lines(pieces):
        if line:
            name, _, value = line.partition(": ")
            if name and not line.startswith(":"):
                fields[name] = value
        elif fields:
            yield fields
            fields = {}


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """What follows the last end of a line is part of a block that was cut off."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode()
