"""A guest's console log: its last lines, and what it says from now on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from asyncinotify import Inotify, Mask

_BLOCK = 64 * 1024
_CHANGES = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO


async def tail(path: Path, lines: int) -> bytes:
    """The last `lines` lines; nothing when the guest never had a console log. Raises OSError."""
    return await asyncio.to_thread(_tail, path, lines)


def _tail(path: Path, lines: int) -> bytes:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return _last_lines(file, lines)
    return b""


def _last_lines(file: BinaryIO, lines: int) -> bytes:
    position = file.seek(0, 2)
    found = b""
    while position > 0 and found.count(b"\n") <= lines:
        size = min(_BLOCK, position)
        position = file.seek(position - size)
        found = file.read(size) + found
    return b"".join(found.splitlines(keepends=True)[-lines:]) if lines else b""


async def follow(path: Path, lines: int) -> AsyncIterator[bytes]:
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
                if event.name is not None and event.name.name == path.name and not event.mask & Mask.MODIFY:
                    _close(file)
                    file = await asyncio.to_thread(_open, path)
        finally:
            _close(file)


def _open(path: Path) -> BinaryIO | None:
    with suppress(FileNotFoundError):
        return path.open("rb")
    return None


def _close(file: BinaryIO | None) -> None:
    if file is not None:
        file.close()
