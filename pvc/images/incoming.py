"""The bytes of an upload as they come: none too late, none too many, all that were announced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from pvc.config import Upload
from pvc.errors import InvalidImage, Timeout, TooLarge


async def counted(
    chunks: AsyncIterator[bytes], length: int | None, limits: Upload, count: Callable[[int], None]
) -> AsyncIterator[bytes]:
    """The chunks. length: bytes that were announced, where they were. count: told how many bytes have come.

    Raises InvalidImage, TooLarge, Timeout.
    """
    received = 0
    if length is not None:
        _check_size(length, limits)
    while (chunk := await _next(chunks, limits.idle_timeout_s)) is not None:
        received += len(chunk)
        _check_size(received, limits)
        if length is not None and received > length:
            raise InvalidImage(problem=f"the upload goes on after the {length} bytes that were announced")
        count(received)
        yield chunk
    if length is not None and received < length:
        raise InvalidImage(problem=f"the upload ended after {received} of {length} bytes")


async def _next(chunks: AsyncIterator[bytes], timeout_s: float) -> bytes | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(chunks, None)
    except TimeoutError as exc:
        raise Timeout(what="More of the upload", timeout_s=timeout_s) from exc


def _check_size(size: int, limits: Upload) -> None:
    if size > limits.largest_bytes:
        raise TooLarge(what="The upload", size=size, limit=limits.largest_bytes)
