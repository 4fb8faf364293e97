"""Sums over what passes by, worked out in a thread while the same bytes are written."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Protocol

from pvc.images.sparse import Hole
from pvc.storage.threads import in_thread, to_the_end
from pvc.units import KIB, MIB

Chunk = bytes | Hole

_BATCH_BYTES = 2 * MIB  # summed up at a time: enough to make a thread's turn worth it
_ZEROES = bytes(_BATCH_BYTES)
_BLOCK = 64 * KIB
_ZERO_BLOCK = bytes(_BLOCK)


class Sum(Protocol):
    """Blocks."""

    def add(self, chunk: Chunk) -> None: ...

    def hexdigest(self) -> str: ...


class SHA256:
    """Of all bytes, the zeroes of holes too."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, chunk: Chunk) -> None:
        if not isinstance(chunk, Hole):
            self._sha256.update(chunk)
            return
        for start in range(0, len(chunk), len(_ZEROES)):
            self._sha256.update(_ZEROES[: len(chunk) - start])

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


class Fingerprint:
    """Of what a disk holds: the same however it is cut, with zeroes or holes, and however many zeroes end it."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._number = 0  # of the block that is being filled
        self._block = bytearray()

    def add(self, chunk: Chunk) -> None:
        if isinstance(chunk, Hole):
            self._skip(len(chunk))
            return
        for start in range(-len(self._block), len(chunk), _BLOCK):
            self._block += chunk[max(start, 0) : start + _BLOCK]
            if len(self._block) == _BLOCK:
                self._end_block()

    def hexdigest(self) -> str:
        """At most once, last."""
        self._end_block()
        return self._sha256.hexdigest()

    def _skip(self, length: int) -> None:
        begun = min(length, -len(self._block) % _BLOCK)
        self._block += bytes(begun)
        if len(self._block) == _BLOCK:
            self._end_block()
        self._number += (length - begun) // _BLOCK
        self._block += bytes((length - begun) % _BLOCK)

    def _end_block(self) -> None:
        block = bytes(self._block).ljust(_BLOCK, b"\0")
        if block != _ZERO_BLOCK:
            self._sha256.update(self._number.to_bytes(8, "big"))
            self._sha256.update(block)
        self._number += 1
        self._block.clear()


class Summing:
    """A sum in a thread of its own."""

    def __init__(self, kind: Sum) -> None:
        self._sum = kind
        self._waiting: list[Chunk] = []
        self._bytes = 0
        self._under_way: asyncio.Future[None] | None = None

    async def add(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)
        self._bytes += len(chunk)
        if self._bytes >= _BATCH_BYTES:
            await self._start()

    async def hexdigest(self) -> str:
        await self._start()
        await self._finish()
        return await in_thread(self._sum.hexdigest)

    async def passing(self, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        """Yield `chunks`, each added."""
        async for chunk in chunks:
            await self.add(chunk)
            yield chunk

    async def _start(self) -> None:
        await self._finish()
        chunks, self._waiting, self._bytes = self._waiting, [], 0
        self._under_way = asyncio.ensure_future(in_thread(self._add_all, chunks))

    async def _finish(self) -> None:
        if self._under_way is not None:
            await to_the_end(self._under_way)

    def _add_all(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            self._sum.add(chunk)
