"""Reading what is kept: in threads, and only where there may be something."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar

from pvc.storage.base import Content
from pvc.storage.sparse import extents
from pvc.units import MIB

T = TypeVar("T")

_PIECE_BYTES = 4 * MIB


class Run(Protocol):
    """Does blocking work in a thread and translates what it raises."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class Reader(Protocol):
    """What really reads. Everything here blocks."""

    def size(self) -> int: ...

    def stretches(self) -> list[tuple[int, int]]:
        """(start, end) of what may be other than zeroes, in order."""
        ...

    def read(self, start: int, length: int) -> bytes: ...

    def close(self) -> None: ...


class FileReader:
    def __init__(self, fd: int) -> None:
        """fd: of the file, which is opened once more: not past the system's memory, and without a lock."""
        self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def stretches(self) -> list[tuple[int, int]]:
        return list(extents(self._fd, self.size()))

    def read(self, start: int, length: int) -> bytes:
        return os.pread(self._fd, length, start)

    def close(self) -> None:
        os.close(self._fd)


class _Content:
    def __init__(self, reader: Reader, run: Run) -> None:
        self._reader, self._run = reader, run

    async def size(self) -> int:
        return await self._run(self._reader.size)

    async def stretches(self) -> Sequence[tuple[int, int]]:
        return await self._run(self._reader.stretches)

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        while start < end:
            data = await self._run(partial(self._reader.read, start, min(_PIECE_BYTES, end - start)))
            if not data:
                return
            start += len(data)
            yield data


@asynccontextmanager
async def reading(open_it: Callable[[], Reader], run: Run) -> AsyncIterator[Content]:
    """open_it: blocks."""
    opened: list[Reader] = []
    try:
        await run(lambda: opened.append(open_it()))
        yield _Content(opened[0], run)
    finally:
        for reader in opened:
            await run(reader.close)
