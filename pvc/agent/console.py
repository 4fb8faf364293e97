"""A log, of a guest's console or a node's own: its last lines, and what it says from now on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from asyncinotify import Inotify, Mask

_BLOCK = 64 * 1024
# The last lines are looked for so far back, however many are wanted: a guest may write lines without end.
_MOST_BYTES = 16 << 20
_CHANGES = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO


async def tail(path: Path, lines: int) -> bytes:
    """The last `lines` lines; nothing when the guest never had a console log. Raises OSError."""
    return await asyncio.to_thread(_tail, path, lines)


def _tail(path: Path, lines: int) -> bytes:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return _last_lines(file, lines)
    return b""


def _last_lines(file: BinaryIO, lines: int) -> bytes:
    """Leaves the file where the last line ends."""
    end = position = file.seek(0, 2)
    found: list[bytes] = []
    ends = 0
    while lines and position > max(0, end - _MOST_BYTES) and ends <= lines:
        size = min(_BLOCK, position)
        position = file.seek(position - size)
        found.append(file.read(size))
        ends += found[-1].count(b"\n")
    file.seek(end)
    return b"".join(b"".join(reversed(found)).splitlines(keepends=True)[-lines:]) if lines else b""


async def follow(path: Path, lines: int) -> AsyncGenerator[bytes, None]:
    """The last lines, then everything new, for ever. A log that is replaced (rotated) is read on from its successor."""
    with Inotify() as inotify:
        inotify.add_watch(path.parent, _CHANGES)
        file = await asyncio.to_thread(_open, path)
        try:
            if file is not None:
                yield await asyncio.to_thread(_last_lines, file, lines)
            while True:
                while file is not None and (data := await asyncio.to_thread(file.read, _BLOCK)):
                    yield data
                event = await inotify.get()
                named = event.name is not None and event.name.name == path.name
                if event.mask & Mask.Q_OVERFLOW or (named and not event.mask & Mask.MODIFY):
                    file = await asyncio.to_thread(_successor, file, path)
        finally:
            _close(file)


def _successor(file: BinaryIO | None, path: Path) -> BinaryIO | None:
    """The file that `path` names now; `file` itself, where it has read to, when that is the one."""
    named = _open(path)
    if file is not None and named is not None and os.path.sameopenfile(file.fileno(), named.fileno()):
        _close(named)
        return file
    _close(file)
    return named


def _open(path: Path) -> BinaryIO | None:
    with suppress(FileNotFoundError):
        return path.open("rb")
    return None


def _close(file: BinaryIO | None) -> None:
    if file is not None:
        file.close()
