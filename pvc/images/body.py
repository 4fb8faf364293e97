"""What comes in chunks of any size, cut where its reader wants it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pvc.errors import InvalidImage


class Body:
    def __init__(self, chunks: AsyncIterator[bytes], too_short: str) -> None:
        """too_short: what is said of one that ends where more must follow."""
        self._chunks, self._too_short = chunks, too_short
        self._chunk, self._at = b"", 0  # the chunk that is being read, and how far
        self._before = 0  # bytes of the chunks before it

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._before + self._at

    async def up_to(self, length: int) -> bytes:
        """At least a byte, at most `length`. Raises InvalidImage at the end."""
        if await self.ended():
            raise InvalidImage(problem=self._too_short)
        data = self._chunk[self._at : self._at + length]  # of a whole chunk this is no copy
        self._at += len(data)
        return data

    async def exactly(self, length: int) -> bytes:
        parts: list[bytes] = []
        while length:
            parts.append(await self.up_to(length))
            length -= len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def pass_over(self, length: int) -> None:
        while length:
            length -= len(await self.up_to(length))

    async def peek(self, length: int) -> bytes:
        """The next `length` bytes, or all that are left; they stay."""
        parts: list[bytes] = []
        begin = self.position
        while length > 0 and not await self.ended():
            parts.append(await self.up_to(1 << 62))
            length -= len(parts[-1])
        self._before, self._chunk, self._at = begin, b"".join(parts), 0
        return self._chunk[: len(self._chunk) + min(length, 0)]

    async def rest(self) -> AsyncIterator[bytes]:
        while not await self.ended():
            yield await self.up_to(1 << 62)

    async def ended(self) -> bool:
        while self._at == len(self._chunk):
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return True
            self._before, self._chunk, self._at = self.position, chunk, 0
        return False
