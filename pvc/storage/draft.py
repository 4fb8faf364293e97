"""New content for a volume, taken from a stream: aligned buffers, a few direct writes at a time, zeroes left out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pvc.errors import ImageTooLarge
from pvc.storage.base import Buffer as Bytes
from pvc.storage.base import Content
from pvc.storage.outage import pool_errors
from pvc.storage.place import Hidden
from pvc.storage.reading import FileReader, reading
from pvc.storage.sparse import BLOCK, BUFFER_BYTES, Buffer, set_direct, write_data
from pvc.storage.threads import to_the_end

T = TypeVar("T")

_WRITES_AT_ONCE = 4


class Writers:
    """What the drafts of one pool share, so that memory is bounded: _WRITES_AT_ONCE buffers and one more a draft."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._turns = asyncio.Semaphore(_WRITES_AT_ONCE)
        self._spare: list[Buffer] = []

    def take(self) -> Buffer:
        return self._spare.pop() if self._spare else Buffer()

    def give(self, buffer: Buffer) -> None:
        if len(self._spare) <= _WRITES_AT_ONCE:
            self._spare.append(buffer)

    async def write(self, fd: int, buffer: Buffer, length: int, offset: int) -> asyncio.Future[None]:
        """Wait for a turn, then write in a thread; the buffer is taken over."""
        await self._turns.acquire()

        def done(_: asyncio.Future[None]) -> None:
            self._turns.release()
            self.give(buffer)

        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, write_data, fd, buffer, length, offset)
        future.add_done_callback(done)
        return future

    async def run(self, work: Callable[[], T]) -> T:
        return await to_the_end(asyncio.get_running_loop().run_in_executor(self._threads, work))


@dataclass(frozen=True, slots=True)
class Target:
    """What a draft is for. length: bytes that it has from the start; limit: the most it takes."""

    pool: str
    name: str
    length: int
    limit: int

    def check(self, end: int) -> None:
        """Raises ImageTooLarge when what is written would end past the limit."""
        if end > self.limit:
            raise ImageTooLarge(size=end, volume=f"{self.pool}/{self.name}", limit=self.limit)


class FileDraft:
    """A draft in a hidden file. The first failure of a write is raised by every later call."""

    def __init__(self, hidden: Hidden, target: Target, writers: Writers, put: Callable[[], Awaitable[None]]) -> None:
        """put: makes the hidden file the target."""
        self._hidden, self._target, self._writers, self._put = hidden, target, writers, put
        self._buffer = writers.take()
        self._filled = 0  # bytes in the buffer
        self._offset = 0  # where in the file the buffer begins
        self._end = target.length  # how long the file is to be
        self._under_way: set[asyncio.Future[None]] = set()
        self._failure: BaseException | None = None

    @property
    def size(self) -> int:
        return self._target.limit

    @property
    def path(self) -> str:
        return self._hidden.path

    @property
    def files(self) -> Sequence[str]:
        return ()

    async def write(self, data: Bytes) -> None:
        rest = memoryview(data).cast("B")
        self._target.check(self._offset + self._filled + len(rest))
        while rest:
            taken = min(len(rest), BUFFER_BYTES - self._filled)
            self._buffer.view[self._filled : self._filled + taken] = rest[:taken]
            self._filled += taken
            rest = rest[taken:]
            if self._filled == BUFFER_BYTES:
                await self._send()

    async def skip(self, length: int) -> None:
        end = self._offset + self._filled + length
        self._target.check(end)
        if end - self._offset >= BUFFER_BYTES:
            await self._jump(end - end % BLOCK)
        self._zero(end - self._offset)

    async def go_to(self, offset: int) -> None:
        self._target.check(offset)
        if offset != self._offset + self._filled:
            await self._jump(offset)

    async def flush(self) -> None:
        await self._settle()
        with pool_errors(self._target.pool):
            self._check()
            await self._writers.run(self._write_rest)

    @asynccontextmanager
    async def content(self) -> AsyncIterator[Content]:
        with pool_errors(self._target.pool):
            async with reading(partial(FileReader, self._hidden.fd), self._writers.run) as content:
                yield content

    async def commit(self) -> None:
        await self.flush()
        await self._put()

    async def open(self) -> None:
        with pool_errors(self._target.pool):
            await self._writers.run(self._create)

    async def close(self) -> None:
        """Wait for the writes under way and drop the file, unless it was put in place."""
        await to_the_end(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        await self._settle()
        self._writers.give(self._buffer)
        with pool_errors(self._target.pool):
            await self._writers.run(self._hidden.drop)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _send(self) -> None:
        with pool_errors(self._target.pool):
            self._check()
        future = await self._writers.write(self._hidden.fd, self._buffer, self._filled, self._offset)
        self._offset += self._filled
        self._buffer, self._filled = self._writers.take(), 0
        self._under_way.add(future)
        future.add_done_callback(self._written)

    async def _jump(self, offset: int) -> None:
        """offset: a multiple of BLOCK."""
        self._end = max(self._end, self._offset + self._filled)
        if self._filled:
            self._zero(-(-self._filled // BLOCK) * BLOCK)
            await self._send()
        self._offset = offset

    def _zero(self, end: int) -> None:
        """Fill the buffer up to `end`; it may hold something old there."""
        self._buffer.view[self._filled : end] = bytes(end - self._filled)
        self._filled = end

    def _written(self, future: asyncio.Future[None]) -> None:
        self._under_way.discard(future)
        self._failure = self._failure or future.exception()

    async def _settle(self) -> None:
        if self._under_way:
            await to_the_end(asyncio.gather(*self._under_way, return_exceptions=True))

    def _create(self) -> None:
        self._hidden.create()
        set_direct(self._hidden.fd, True)
        os.ftruncate(self._hidden.fd, self._target.length)

    def _write_rest(self) -> None:
        """Blocks. The buffer stays as it is, so that writing can go on; what pads the last block is cut off again."""
        length = -(-self._filled // BLOCK) * BLOCK
        self._buffer.view[self._filled : length] = bytes(length - self._filled)
        write_data(self._hidden.fd, self._buffer, length, self._offset)
        self._end = max(self._end, self._offset + self._filled)
        os.ftruncate(self._hidden.fd, self._end)
