"""A raw image without its holes, as it is sent: frames of data, each with its place (docs/design/016)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import Protocol

from pvc.errors import InvalidImage
from pvc.units import MIB

CONTENT_TYPE = "application/vnd.pvc.sparse"
TOO_SHORT = "the upload ended before its last frame"

_HEADER = struct.Struct(">QQ")  # where the frame's data belongs, and how many bytes they are: 0 in the last frame
_GRAIN = 4096

PIECE_BYTES = 2 * MIB  # pieces end where those of the pools do, so that none is put together or cut there


class Body(Protocol):
    """What images.body.Body is, or may be instead of it."""

    async def up_to(self, length: int) -> bytes: ...

    async def exactly(self, length: int) -> bytes: ...

    async def ended(self) -> bool: ...


class Hole:
    """Its `len` is that of the zeroes that it stands for."""

    __slots__ = ("_length",)

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


class Place:
    """What follows in a stream belongs there: bytes from the beginning."""

    __slots__ = ("start",)

    def __init__(self, start: int) -> None:
        self.start = start

    def __len__(self) -> int:
        return 0


def header(start: int, length: int) -> bytes:
    """Of a frame; of the last one with the length 0, at the end of the image."""
    return _HEADER.pack(start, length)


async def whole(body: Body) -> AsyncIterator[bytes]:
    """Yield an image that has its holes in it."""
    at = 0
    while not await body.ended():
        data = await body.up_to(_left_of_piece(at))
        at += len(data)
        yield data


async def unframed(body: Body, size: int, begin: int = 0) -> AsyncIterator[bytes | Hole]:
    """Yield an image of `size` bytes from `begin` on, in order and without a gap. Raises InvalidImage."""
    at = begin
    while True:
        start, length = _HEADER.unpack(await body.exactly(_HEADER.size))
        _check(start, length, at, size, begin)
        if start > at:
            yield Hole(start - at)
        if length == 0:
            break
        at, end = start, start + length
        while at < end:
            data = await body.up_to(min(end - at, _left_of_piece(at)))
            at += len(data)
            yield data
    if not await body.ended():
        raise InvalidImage(problem="the upload goes on after its last frame")


def _left_of_piece(at: int) -> int:
    return PIECE_BYTES - at % PIECE_BYTES


def _check(start: int, length: int, at: int, size: int, begin: int) -> None:
    """at: where the frame before ended. begin: where the first may begin, wherever that is."""
    end = start + length
    if start < at:
        raise InvalidImage(problem=f"a frame begins at {start}, before the end of the one before it at {at}")
    if end > size:
        raise InvalidImage(problem=f"a frame ends at {end}, past the end of the image at {size}")
    if length == 0 and end != size:
        raise InvalidImage(problem=f"the last frame is at {end}, the image ends at {size}")
    if length and ((start % _GRAIN and start != begin) or (end % _GRAIN and end != size)):
        raise InvalidImage(problem=f"a frame from {start} to {end} is not on boundaries of {_GRAIN} bytes")
