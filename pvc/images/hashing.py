"""Hashes of what passes by, worked out in a thread while the same bytes are written."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable

from pvc.storage.threads import in_thread, to_the_end
from pvc.units import MIB

_AT_ONCE = 2 * MIB  # enough to make a thread's turn worth it


class Hashing:
    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._under_way: asyncio.Future[None] | None = None

    async def update(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        self._bytes += len(chunk)
        if self._bytes >= _AT_ONCE:
            await self._start()

    async def hexdigests(self) -> dict[str, str]:
        """By algorithm."""
        await self._start()
        await self._finish()
        return {name: one.hexdigest() for name, one in self._hashes.items()}

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, each taken into account."""
        async for chunk in chunks:
            await self.update(chunk)
            yield chunk

    async def _start(self) -> None:
        await self._finish()
        chunks, self._waiting, self._bytes = self._waiting, [], 0
        self._under_way = asyncio.ensure_future(in_thread(self._digest, chunks))

    async def _finish(self) -> None:
        if self._under_way is not None:
            await to_the_end(self._under_way)

    def _digest(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            for one in self._hashes.values():
                one.update(chunk)
