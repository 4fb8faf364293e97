"""The bytes of an upload as they come: none too late, none too many, all that were announced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from pvc.config import Upload
from pvc.errors import InvalidImage, Timeout, TooLarge
from pvc.images.sparse import Hole

C = TypeVar("C", bytes, bytes | Hole)


class Incoming:
    """length: bytes that were announced, where they were. count: told how many have come. received: that number."""

    def __init__(self, length: int | None, limits: Upload, count: Callable[[int], None]) -> None:
        self._length, self._limits, self._count = length, limits, count
        self.received = 0

    async def passing(self, chunks: AsyncIterator[C]) -> AsyncIterator[C]:
        """Yield `chunks`. Raises InvalidImage, TooLarge, Timeout."""
        length = self._length
        self._check_size(length or 0)
        while (chunk := await self._next(chunks)) is not None:
            self.received += len(chunk)
            self._check_size(self.received)
            if length is not None and self.received > length:
                raise InvalidImage(problem=f"the upload goes on after the {length} bytes that were announced")
            self._count(self.received)
            yield chunk
        if length is not None and self.received < length:
            raise InvalidImage(problem=f"the upload ended after {self.received} of {length} bytes")

    async def _next(self, chunks: AsyncIterator[C]) -> C | None:
        try:
            async with asyncio.timeout(self._limits.idle_timeout_s):
                return await anext(chunks, None)
        except TimeoutError as exc:
            raise Timeout(what="More of the upload", timeout_s=self._limits.idle_timeout_s) from exc

    def _check_size(self, size: int) -> None:
        if size > self._limits.largest_bytes:
            raise TooLarge(what="The upload", size=size, limit=self._limits.largest_bytes)
