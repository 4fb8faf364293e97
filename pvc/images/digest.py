"""Sums over what passes by, worked out in a thread while the same bytes are written."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Generic, Protocol, TypeVar

from pvc.images.sparse import Hole, Place
from pvc.storage.threads import in_thread, to_the_end
from pvc.units import KIB, MIB

Chunk = bytes | Hole | Place
Result = TypeVar("Result", covariant=True)
C = TypeVar("C", bytes, bytes | Hole, bytes | Hole | Place)

_BATCH_BYTES = 2 * MIB  # summed up at a time: enough to make a thread's turn worth it
_ZEROES = bytes(_BATCH_BYTES)
_BLOCK = 64 * KIB
_ZERO_BLOCK = bytes(_BLOCK)


class Sum(Protocol[Result]):
    """Blocks. result: at most once, last."""

    def add(self, chunk: Chunk) -> None: ...

    def result(self) -> Result: ...


class Hashes:
    """Of all bytes, the zeroes of holes too; by algorithm, named as hashlib does."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}

    def add(self, chunk: Chunk) -> None:
        for one in self._hashes.values():
            if isinstance(chunk, bytes):
                one.update(chunk)
                continue
            for start in range(0, len(chunk), len(_ZEROES)):
                one.update(_ZEROES[: len(chunk) - start])

    def result(self) -> dict[str, str]:
        return {name: one.hexdigest() for name, one in self._hashes.items()}


class Fingerprint:
    """Of what a disk holds: the same in whatever order it comes, however it is cut, and with zeroes or holes.

    A place must be that of a block. The sum over all blocks is one of SHA-256s, so that their order does not matter.
    """

    def __init__(self) -> None:
        self._sum = 0
        self._number = 0  # of the block that is being filled
        self._block = bytearray()

    def add(self, chunk: Chunk) -> None:
        if isinstance(chunk, Hole):
            self._skip(len(chunk))
            return
        if isinstance(chunk, Place):
            self._end_block()
            self._number = chunk.start // _BLOCK
            return
        for start in range(-len(self._block), len(chunk), _BLOCK):
            self._block += chunk[max(start, 0) : start + _BLOCK]
            if len(self._block) == _BLOCK:
                self._end_block()

    def result(self) -> str:
        self._end_block()
        return f"{self._sum:x}"

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
            digest = hashlib.sha256(self._number.to_bytes(8, "big") + block).digest()
            self._sum += int.from_bytes(digest, "big")
        self._number += 1
        self._block.clear()


class Summing(Generic[Result]):
    """A sum in a thread of its own."""

    def __init__(self, kind: Sum[Result]) -> None:
        self._sum = kind
        self._waiting: list[Chunk] = []
        self._bytes = 0
        self._under_way: asyncio.Future[None] | None = None

    async def add(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)
        self._bytes += len(chunk)
        if self._bytes >= _BATCH_BYTES:
            await self._start()

    async def result(self) -> Result:
        await self._start()
        await self._finish()
        return await in_thread(self._sum.result)

    async def passing(self, chunks: AsyncIterator[C]) -> AsyncIterator[C]:
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
