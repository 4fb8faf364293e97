"""What comes before anybody knows what it is: kept in scratch space, at its place in the image."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from pvc.storage.base import Content, Draft
from pvc.units import MIB

_ZEROES = bytes(4 * MIB)


class Aside:
    """The space is made for the first byte that is not zero, and removed when the context ends."""

    def __init__(self, scratch: AbstractAsyncContextManager[Draft]) -> None:
        self._scratch = scratch
        self._stack = AsyncExitStack()
        self._space: Draft | None = None
        self._content: Content | None = None
        self._end = 0  # of what is in the space

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def keep(self, start: int, data: bytes) -> None:
        """start: in the image; never before the end of what was kept."""
        if _ZEROES.startswith(data):
            return
        if self._space is None:
            self._space = await self._stack.enter_async_context(self._scratch)
        await self._space.skip(start - self._end)
        await self._space.write(data)
        self._end = start + len(data)

    async def end(self) -> None:
        """Nothing more is kept; from now on it can be read."""
        if self._space is not None:
            await self._space.flush()
            self._content = await self._stack.enter_async_context(self._space.content())

    async def read(self, start: int, end: int) -> bytes:
        """Zeroes where nothing was kept."""
        parts = [part async for part in self._pieces(start, min(end, self._end))]
        return b"".join(parts).ljust(end - start, b"\0")

    async def _pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        if self._content is not None:
            async for piece in self._content.read(start, end):
                yield piece
