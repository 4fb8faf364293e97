"""A qcow2 image, decoded as it comes: what its tables told of goes where it belongs at once, the rest at the end."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from backports import zstd

from pvc.errors import InvalidImage
from pvc.images.ahead import ahead
from pvc.images.aside import Aside
from pvc.images.body import Body
from pvc.images.qcow2header import Header, read
from pvc.images.qcow2tables import Kind, Late, Region, Stored, Tables, behind_the_end
from pvc.images.sparse import PIECE_BYTES, Place
from pvc.storage.threads import in_thread
from pvc.units import KIB, MIB

_HEAD_BYTES = 64 * KIB
_BATCH_BYTES = 2 * MIB  # of the disk, at a time: enough to make a thread's turn worth it
_SPAN_BYTES = 2 * MIB  # of the file
_DEFLATE_BITS = -15  # QEMU packs with -12, and unpacks whatever there is
_ZSTD_OPTIONS: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 23}  # QEMU uses less


@dataclass(frozen=True, slots=True)
class _Batch:
    """start: in the file, of the data that holds all of the clusters."""

    clusters: list[Stored]
    start: int
    data: bytes


async def decoded(
    chunks: AsyncIterator[bytes], aside: Aside, report: Callable[[int], None]
) -> AsyncIterator[bytes | Place]:
    """Yield what the image holds, each stretch behind its place, none twice. chunks: the file.

    report: told how much of the disk is surely there, when all has come. Raises InvalidImage.
    """
    body = Body(chunks, "it ends within its qcow2 data")
    header = read(await body.peek(_HEAD_BYTES), None)
    tables = Tables(header)
    while not await body.ended():
        region = tables.next
        if region is None or body.position < region.start:
            await _set_aside(body, aside, region)
            continue
        tables.begin(body.position)
        if region.kind is not Kind.DATA:
            await _learn(body, region, tables, aside)
            continue
        async for piece in _data(body, region, header):
            yield piece
        tables.took(region.start, region.end)
    tables.check_end(body.position)
    await aside.end()
    async for piece in _late(tables, header, aside, body.position, report):
        yield piece


async def _set_aside(body: Body, aside: Aside, before: Region | None) -> None:
    at = body.position
    left = PIECE_BYTES - at % PIECE_BYTES
    await aside.keep(at, await body.up_to(left if before is None else min(left, before.start - at)))


async def _learn(body: Body, region: Region, tables: Tables, aside: Aside) -> None:
    parts: list[bytes] = []
    while (left := region.end - body.position) and not await body.ended():
        parts.append(await body.up_to(left))
    data = b"".join(parts)
    if await in_thread(tables.learn, region, data):
        await aside.keep(region.start, data)
    else:
        tables.took(region.start, region.end)


async def _data(body: Body, region: Region, header: Header) -> AsyncIterator[bytes | Place]:
    yield Place(region.place)
    while (left := region.end - body.position) and not await body.ended():
        at = region.place + body.position - region.start
        data = await body.up_to(min(left, PIECE_BYTES - at % PIECE_BYTES))
        yield data[: max(0, header.size - at)]
    if left >= header.cluster:
        raise behind_the_end(body.position)


async def _late(
    tables: Tables, header: Header, aside: Aside, length: int, report: Callable[[int], None]
) -> AsyncIterator[bytes | Place]:
    """What is known only now. length: of the file."""
    late = tables.late
    batches = _batches(tables, late, header, aside, length, report)
    async for batch, unpacked in ahead(batches, partial(_unpacked, header)):
        for cluster, data in zip(batch.clusters, unpacked, strict=True):
            yield Place(cluster.place)
            yield data
    if late:
        report(header.size)


async def _batches(
    tables: Tables, late: list[Late], header: Header, aside: Aside, length: int, report: Callable[[int], None]
) -> AsyncIterator[_Batch]:
    for table in late:
        report(table.number * header.covered)
        data = await aside.read(table.start, table.start + header.cluster)
        for clusters in _grouped(await in_thread(tables.stored, table, data, length), header.cluster):
            start, end = clusters[0].start, max(one.end for one in clusters)
            yield _Batch(clusters, start, await aside.read(start, end))


def _grouped(clusters: list[Stored], size: int) -> Iterator[list[Stored]]:
    """size: of a cluster."""
    group: list[Stored] = []
    for one in clusters:
        if group and (len(group) * size >= _BATCH_BYTES or one.end - group[0].start > _SPAN_BYTES):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _unpacked(header: Header, batch: _Batch) -> list[bytes]:
    found = []
    for one in batch.clusters:
        data = batch.data[one.start - batch.start : one.end - batch.start]
        found.append((_unpack(header, one, data) if one.packed else data)[: one.length])
    return found


def _unpack(header: Header, cluster: Stored, data: bytes) -> bytes:
    """data: and what follows it in its last sector."""
    try:
        unpacker = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS) if header.zstd else zlib.decompressobj(_DEFLATE_BITS)
        unpacked = unpacker.decompress(data, header.cluster)
    except (zlib.error, zstd.ZstdError) as exc:
        raise InvalidImage(problem=f"its data at {cluster.place} is damaged") from exc
    if len(unpacked) < header.cluster or (header.zstd and not unpacker.eof):
        raise InvalidImage(problem=f"its data at {cluster.place} is damaged")
    return unpacked
