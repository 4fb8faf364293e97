"""A stream-optimised VMDK, decoded in order: each grain brings its place with it, so that no table is needed.

What ends too early shows by a missing end marker or, as QEMU writes none, by grains that only its tables have.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from pvc.errors import InvalidImage
from pvc.images.ahead import ahead
from pvc.images.body import Body
from pvc.images.sparse import Hole
from pvc.images.vmdkheader import HEAD_BYTES, SECTOR, TABLE_ENTRIES, Header, read, same_disk
from pvc.units import MIB

_BATCH_BYTES = 2 * MIB  # inflated at a time: enough to make a thread's turn worth it
_MARKER = struct.Struct("<QII")  # sector or number of sectors, bytes of a grain, kind where these are 0
_GRAIN_DATA = 12  # where in its first sector a grain's data begins
_TABLE_BYTES = TABLE_ENTRIES * 4
_TABLE_SECTORS = _TABLE_BYTES // SECTOR
_END, _TABLE, _DIRECTORY, _FOOTER = range(4)


@dataclass(frozen=True, slots=True)
class _Grain:
    start: int
    length: int  # what of it lies within the capacity
    deflated: bytes


async def decoded(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes | Hole]:
    """Yield what the image holds, in order and without a gap, to its capacity. chunks: the file.

    Raises InvalidImage.
    """
    body = Body(chunks, "it ends within its VMDK data")
    header = read(await body.peek(HEAD_BYTES))
    if not header.in_order:
        raise InvalidImage(problem="it is a VMDK, but not a stream-optimised one")
    at = 0
    async for batch, inflated in ahead(_batches(body, header), partial(_inflated, header.grain)):
        for grain, data in zip(batch, inflated, strict=True):
            if grain.start > at:
                yield Hole(grain.start - at)
            yield data
            at = grain.start + grain.length
    if header.capacity > at:
        yield Hole(header.capacity - at)


async def _batches(body: Body, header: Header) -> AsyncIterator[list[_Grain]]:
    expected = await _to_the_grains(body, header)
    batch: list[_Grain] = []
    at, seen = 0, 0
    while grain := await _next(body, header, ends_without_marker=seen == expected):
        if grain.start < at:
            raise InvalidImage(
                problem=f"its grain at {grain.start} is out of order; convert it to another format first"
            )
        at, seen = grain.start + grain.length, seen + 1
        batch.append(grain)
        if len(batch) * header.grain >= _BATCH_BYTES:
            yield batch
            batch = []
    if expected not in (None, seen):
        raise InvalidImage(problem=f"it has {seen} grains, its tables have {expected}")
    yield batch


async def _to_the_grains(body: Body, header: Header) -> int | None:
    """Return how many grains the tables before them have, None where the tables follow."""
    if header.directory is None:
        await body.pass_over(header.overhead)
        return None
    tables = header.directory + header.directory_sectors * SECTOR
    rest = header.overhead - tables - header.tables * _TABLE_BYTES
    if rest < 0:
        raise InvalidImage(problem="its grain tables do not fit before its grains")
    await body.pass_over(tables)
    count = 0
    for _ in range(header.tables):
        entries = array("I", await body.exactly(_TABLE_BYTES))
        count += len(entries) - entries.count(0) - entries.count(1)
    await body.pass_over(rest)
    return count


async def _next(body: Body, header: Header, *, ends_without_marker: bool) -> _Grain | None:
    """Pass over what is no grain. None at the end."""
    while not (ends_without_marker and await body.ended()):
        sector = await body.exactly(SECTOR)
        value, size, kind = _MARKER.unpack_from(sector)
        if size:
            return await _grain(body, header, sector, value * SECTOR, size)
        if kind == _END:
            await _nothing_follows(body)
            return None
        await _pass_over(body, header, kind, value)
    return None


async def _grain(body: Body, header: Header, sector: bytes, start: int, size: int) -> _Grain:
    """sector: the first, with the marker."""
    if start % header.grain or start >= header.capacity:
        raise InvalidImage(problem=f"it has a grain at {start}, where none can be")
    if size > 2 * header.grain:
        raise InvalidImage(problem=f"its grain at {start} says that it takes {size} bytes, more than any grain can")
    sectors = -(-(_GRAIN_DATA + size) // SECTOR)
    stored = sector + await body.exactly((sectors - 1) * SECTOR)
    length = min(header.grain, header.capacity - start)
    return _Grain(start, length, stored[_GRAIN_DATA : _GRAIN_DATA + size])


async def _pass_over(body: Body, header: Header, kind: int, sectors: int) -> None:
    """What follows a marker that begins no grain."""
    if sectors != {_TABLE: _TABLE_SECTORS, _DIRECTORY: header.directory_sectors, _FOOTER: 1}.get(kind):
        raise InvalidImage(problem=f"it has a marker of the kind {kind} with {sectors} sectors, which cannot be")
    if kind != _FOOTER:
        await body.pass_over(sectors * SECTOR)
    elif not same_disk(await body.exactly(SECTOR), header):
        raise InvalidImage(problem="its footer does not describe the disk that its header describes")


async def _nothing_follows(body: Body) -> None:
    async for data in body.rest():
        if data.strip(b"\0"):
            raise InvalidImage(problem="it goes on after its end marker")


def _inflated(whole: int, batch: list[_Grain]) -> list[bytes]:
    return [_inflate(grain, whole) for grain in batch]


def _inflate(grain: _Grain, whole: int) -> bytes:
    """whole: bytes of a grain; the last may be stored without what is behind the capacity."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(grain.deflated, whole + 1)
    except zlib.error as exc:
        raise InvalidImage(problem=f"its grain at {grain.start} is damaged") from exc
    if len(data) > whole:
        raise InvalidImage(problem=f"its grain at {grain.start} holds more than the {whole} bytes of a grain")
    if not inflater.eof or len(data) < grain.length:
        raise InvalidImage(problem=f"its grain at {grain.start} is damaged")
    return data[: grain.length]
