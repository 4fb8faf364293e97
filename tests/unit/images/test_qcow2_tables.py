"""Images with tables that no honest writer made: they mean what they say, or they are refused."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from typing import cast

import pytest
from backports import zstd

from pvc.errors import InvalidImage
from pvc.images import qcow2, qcow2tables
from pvc.images.aside import Aside
from pvc.images.sparse import Place
from pvc.storage.base import Draft
from pvc.units import GIB, MIB
from tests.parts.qcow2 import CLUSTER
from tests.parts.qcow2damage import (
    BAD,
    BOMB,
    ENTRIES,
    GOOD,
    PACKED,
    PRESSED,
    TWO_TABLES,
    ZERO,
    ZSTD,
    at,
    deflated,
    holding,
    image,
    noise,
    one,
    packed,
    table,
)

_PLACE = 0x00FF_FFFF_FFFF_FE00

Disk = dict[int, bytes]  # clusters without the zeroes at their ends, by their numbers; none that is all zeroes


class Scratch:
    """Space in memory. most: bytes that were read of it at once."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.most = 0
        self.opened = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Draft]:
        self.opened = True
        yield cast("Draft", self)

    async def skip(self, length: int) -> None:
        assert length >= 0
        self._data.extend(bytes(length))

    async def write(self, data: bytes) -> None:
        self._data.extend(data)

    async def flush(self) -> None:
        pass

    @asynccontextmanager
    async def content(self) -> AsyncIterator[Scratch]:
        yield self

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        self.most = max(self.most, end - start)
        yield bytes(self._data[start:end])


def quiet(done: int) -> None:
    pass


async def decode(
    file: bytes, piece: int = 50_001, *, scratch: Scratch | None = None, report: Callable[[int], None] = quiet
) -> Disk:
    """What the image holds. Nothing of it may come twice, or be past the disk's end."""
    size = int.from_bytes(file[24:32])
    disk: Disk = {}
    came: set[tuple[int, int]] = set()
    place = 0
    async with Aside((scratch or Scratch()).open()) as aside:
        async for chunk in qcow2.decoded(_stream(file, piece), aside, report):
            if isinstance(chunk, Place):
                place = chunk.start
                continue
            assert place + len(chunk) <= size
            came.add((place, place + len(chunk)))
            _put(disk, place, chunk)
            place += len(chunk)
    ordered = sorted((start, end) for start, end in came if start < end)
    assert all(end <= start for (_, end), (start, _) in pairwise(ordered))
    return {number: data for number, data in disk.items() if data}


async def _stream(file: bytes, piece: int) -> AsyncIterator[bytes]:
    for start in range(0, len(file), piece):
        yield file[start : start + piece]


def _put(disk: Disk, place: int, data: bytes) -> None:
    while data:
        number, begin = divmod(place, CLUSTER)
        part = data[: CLUSTER - begin]
        disk[number] = (disk.get(number, b"").ljust(begin, b"\0") + part).rstrip(b"\0")
        place, data = place + len(part), data[len(part) :]


def meaning(file: bytes) -> Disk:
    """What the tables say, read as a whole; zeroes follow where the file ends."""

    size, l1 = int.from_bytes(file[24:32]) // 512 * 512, int.from_bytes(file[40:48])
    disk: Disk = {}
    for upper, l2 in enumerate(_entries(file, l1, -(-size // (ENTRIES * CLUSTER)))):
        for lower, entry in enumerate(_entries(file, l2 & _PLACE, ENTRIES) if l2 & _PLACE else ()):
            start = (upper * ENTRIES + lower) * CLUSTER
            if start < size and (data := _cluster(file, entry)[: size - start].rstrip(b"\0")):
                disk[start // CLUSTER] = data
    return disk


def _entries(file: bytes, start: int, count: int) -> tuple[int, ...]:
    return struct.unpack(f">{count}Q", file[start : start + 8 * count].ljust(8 * count, b"\0"))


def _cluster(file: bytes, entry: int) -> bytes:
    if entry & PACKED:
        start = entry & (1 << 54) - 1
        end = start - start % 512 + ((entry >> 54 & 255) + 1) * 512
        if file[104]:
            return zstd.ZstdDecompressor().decompress(file[start:end])
        return zlib.decompressobj(-15).decompress(file[start:end], CLUSTER)
    start = entry & _PLACE
    return file[start : start + CLUSTER] if start and not entry & ZERO else b""


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("piece", [4099, 50_001, 7 * MIB])
async def test_what_is_odd_and_has_one_meaning_is_understood(name: str, piece: int) -> None:
    assert await decode(GOOD[name], piece) == meaning(GOOD[name])


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("limit", [0, 1, 2])
async def test_the_same_where_memory_for_what_is_ahead_is_short(
    name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qcow2tables, "_AHEAD_LIMIT", limit)
    assert await decode(GOOD[name]) == meaning(GOOD[name])


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("piece", [4099, 7 * MIB])
async def test_what_cannot_be_is_refused(name: str, piece: int) -> None:
    file, said = BAD[name]
    with pytest.raises(InvalidImage, match=said) as exc:
        await decode(file, piece)
    assert "\n" not in str(exc.value)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("limit", [0, 1])
async def test_the_same_is_refused_or_has_one_meaning_where_memory_is_short(
    name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qcow2tables, "_AHEAD_LIMIT", limit)
    file, _ = BAD[name]
    try:
        disk = await decode(file)
    except InvalidImage:
        return
    assert disk == meaning(file)


@pytest.mark.parametrize("seed", range(60))
async def test_parts_may_be_in_any_order(seed: int) -> None:
    """Two L2 tables, twelve clusters of data, some packed, and empty places between them."""
    source = random.Random(seed)
    places = source.sample(range(4, 24), 14)
    clusters, tables = {}, [dict[int, int](), dict[int, int]()]
    for number, place in enumerate(places[2:]):
        pressed = PRESSED if source.random() < 0.2 else b""
        clusters[place] = pressed or noise(number)
        entry = packed(place * CLUSTER, len(PRESSED)) if pressed else at(place)
        source.choice(tables)[source.choice([number, 3 * number, ENTRIES - 1 - number])] = entry
    clusters |= {place: table(entries) for place, entries in zip(places, tables, strict=False)}
    file = image({0: at(places[0]), 1: at(places[1])}, clusters, **TWO_TABLES)
    file += bytes(-len(file) % CLUSTER)
    assert await decode(file, source.choice([9973, 65536, MIB])) == meaning(file)


CUT = ["plain", "late", "in the middle of its data", "tables upside down", "L1 at the end", "packed", "zero clusters"]


@pytest.mark.parametrize("name", CUT)
async def test_a_file_that_is_cut_anywhere_is_refused_or_means_what_is_left(name: str) -> None:
    whole = GOOD[name]
    source = random.Random(name)
    near = {border + by for border in range(0, len(whole), CLUSTER) for by in (-511, -2, -1, 0, 1, 6, 8, 14, 520)}
    for length in sorted(near | {source.randrange(len(whole)) for _ in range(40)}):
        if length > CLUSTER:
            file = whole[:length]
            try:
                disk = await decode(file)
            except InvalidImage:
                continue
            assert disk == meaning(file)


@contextmanager
def little_memory(limit: int) -> Iterator[None]:
    """Whatever happens in there, that many bytes are enough for it."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < limit


async def test_a_table_that_all_names_one_packed_cluster_takes_little_memory() -> None:
    pressed = deflated(b"x" * 100 + bytes(CLUSTER - 100))
    file = one({number: packed(5 * CLUSTER, len(pressed)) for number in range(ENTRIES)}, {5: pressed}, size=GIB // 2)
    with little_memory(48 * MIB):
        disk = await decode(file)
    assert disk == dict.fromkeys(range(ENTRIES), b"x" * 100)


@pytest.mark.parametrize(("bomb", "changes"), [(BOMB, {}), (zstd.compress(bytes(200 * MIB)), ZSTD)])
async def test_a_packed_cluster_that_is_a_bomb_takes_little_memory(bomb: bytes, changes: dict[str, int]) -> None:
    file = holding(bomb, **changes)
    with little_memory(24 * MIB), suppress(InvalidImage):
        assert await decode(file) == {}


async def test_a_huge_reference_count_table_takes_little_memory() -> None:
    counts = b"".join(table({n: (1000 + part * ENTRIES + n) * CLUSTER for n in range(ENTRIES)}) for part in range(128))
    clusters = {5: counts, 133: table({0: at(134)}), 134: noise(1)}
    file = image({0: at(133)}, clusters, refcount_table_offset=5 * CLUSTER, refcount_table_clusters=128)
    with little_memory(64 * MIB):
        disk = await decode(file)
    assert disk == {0: noise(1)}


async def test_packed_clusters_far_from_each_other_are_not_read_at_once() -> None:
    scratch = Scratch()
    entries = {number: packed((5 + 100 * number) * CLUSTER, len(PRESSED)) for number in range(4)}
    await decode(one(entries, dict.fromkeys(range(5, 400, 100), PRESSED)), scratch=scratch)
    assert 0 < scratch.most <= 2 * MIB


async def test_what_stands_behind_its_tables_needs_no_scratch_space() -> None:
    scratch = Scratch()
    await decode(GOOD["plain"], scratch=scratch)
    assert not scratch.opened


async def test_how_much_is_done_only_ever_grows() -> None:
    told: list[int] = []
    await decode(GOOD["tables upside down"], report=told.append)
    assert told == [0, GIB // 2, GIB]
