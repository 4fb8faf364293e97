from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from pvc.errors import ImageTooLarge
from pvc.storage.base import Draft
from pvc.units import KIB, MIB
from tests.contract.storage.conftest import Unchanged
from tests.contract.storage.harness import AnyPool, Harness

SIZE = 16 * MIB - 4 * KIB  # no multiple of what is written at once
Parts = list[tuple[int, bytes]]


@pytest.fixture
async def disk(pool: AnyPool, harness: Harness) -> AnyPool:
    """A pool with a volume "disk0" full of "old!"."""
    await pool.create("disk0", SIZE)
    harness.fill("disk0", b"old!" * (SIZE // 4))
    return pool


async def put(draft: Draft, parts: Parts, piece: int = SIZE) -> None:
    for start, data in parts:
        await draft.go_to(start)
        for at in range(0, len(data), piece):
            await draft.write(data[at : at + piece])


def together(parts: Parts, size: int = SIZE) -> bytes:
    found = bytearray(size)
    for start, data in parts:
        found[start : start + len(data)] = data
    return bytes(found)


def noise(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


ORDERS: dict[str, Parts] = {
    "forwards": [(0, noise(4096)), (64 * KIB, noise(4096, 2)), (9 * MIB, noise(4096, 3))],
    "backwards": [(9 * MIB, noise(4096)), (64 * KIB, noise(4096, 2)), (0, noise(4096, 3))],
    "backwards, adjoining": [(n * 64 * KIB, noise(64 * KIB, n)) for n in range(40, -1, -1)],
    "into a gap": [(0, noise(4096)), (8192, noise(4096, 2)), (4096, noise(4096, 3))],
    "within one buffer": [(4 * MIB - 8192, noise(4096)), (4 * MIB - 4096, noise(8192, 2)), (0, noise(4096, 3))],
    "no whole blocks": [(8192, noise(1)), (4096, noise(4095, 2)), (0, noise(512, 3)), (MIB, noise(70_001, 4))],
    "the end, then the beginning": [(SIZE - 4096, noise(4096)), (0, noise(5000, 2))],
    "the end, no whole block": [(SIZE - 4096, noise(512)), (4096, noise(512, 2)), (SIZE - 12288, noise(8192, 3))],
    "the end last": [(MIB, noise(5000)), (SIZE - 5 * MIB, noise(5 * MIB, 2))],
    "more than a buffer": [(5 * MIB + 4096, noise(9 * MIB)), (4096, noise(5 * MIB, 2))],
    "zeroes": [(MIB, bytes(5 * MIB)), (0, bytes(4096)), (8 * MIB, bytes(100) + noise(100)), (7 * MIB, bytes(9))],
    "nothing": [(8 * MIB, b""), (MIB, noise(10)), (2 * MIB, b""), (0, b"")],
}


@pytest.mark.parametrize("piece", [1021, 300_000, SIZE])
@pytest.mark.parametrize("order", ORDERS)
async def test_parts_in_any_order_are_where_they_belong(
    disk: AnyPool, harness: Harness, order: str, piece: int
) -> None:
    async with disk.draft("disk0") as draft:
        await put(draft, ORDERS[order], piece)
        await draft.commit()
    assert harness.content("disk0") == together(ORDERS[order])
    assert await harness.hidden() == []


@pytest.mark.parametrize("seed", range(10))
async def test_blocks_in_any_order(disk: AnyPool, harness: Harness, seed: int) -> None:
    source = random.Random(seed)
    borders = [0, *sorted(source.sample(range(4096, SIZE, 4096), 60)), SIZE]
    parts = [
        (start, noise(end - start - source.choice([0, 0, 1, 3000]), start))
        for start, end in pairwise(borders)
        if source.random() < 0.8
    ]
    source.shuffle(parts)
    async with disk.draft("disk0") as draft:
        await put(draft, parts, source.choice([4096, 65_537, SIZE]))
        await draft.commit()
    assert harness.content("disk0") == together(parts)


@pytest.mark.parametrize("first", [0, 4096, 64 * KIB, 4 * MIB, 4 * MIB + 4096])
async def test_to_go_where_it_is_changes_nothing(disk: AnyPool, harness: Harness, first: int) -> None:
    async with disk.draft("disk0") as draft:
        await draft.write(noise(first))
        await draft.go_to(first)
        await draft.go_to(first)
        await draft.write(noise(5000, 2))
        await draft.commit()
    assert harness.content("disk0") == together([(0, noise(first)), (first, noise(5000, 2))])


async def test_to_go_about_without_writing_changes_nothing(disk: AnyPool, harness: Harness) -> None:
    async with disk.draft("disk0") as draft:
        await draft.write(noise(4096))
        for place in (9 * MIB, 0, SIZE - 4096, 4096):
            await draft.go_to(place)
        await draft.write(noise(4096, 2))
        await draft.go_to(SIZE)
        await draft.commit()
    assert harness.content("disk0") == together([(0, noise(4096)), (4096, noise(4096, 2))])


@pytest.mark.parametrize("length", [1, 4096, 5 * MIB])
async def test_what_is_skipped_elsewhere_is_zeroes(disk: AnyPool, harness: Harness, length: int) -> None:
    async with disk.draft("disk0") as draft:
        await put(draft, [(10 * MIB, noise(70_000)), (MIB, noise(5000, 2))])
        await draft.skip(length)
        await draft.write(noise(5000, 3))
        await draft.commit()
    parts = [(10 * MIB, noise(70_000)), (MIB, noise(5000, 2)), (MIB + 5000 + length, noise(5000, 3))]
    assert harness.content("disk0") == together(parts)


async def test_zeroes_between_are_not_stored(disk: AnyPool, harness: Harness) -> None:
    async with disk.draft("disk0") as draft:
        await put(draft, [(12 * MIB, noise(64 * KIB)), (4 * MIB, bytes(5 * MIB)), (0, noise(64 * KIB, 2))])
        await draft.commit()
    used = (await disk.volume("disk0")).used
    assert used is not None
    assert used <= 128 * KIB + 4 * harness.grain


async def test_another_program_reads_what_was_flushed_anywhere(disk: AnyPool, harness: Harness) -> None:
    parts = [(9 * MIB, noise(5000)), (MIB, noise(5 * MIB, 2)), (8 * MIB, noise(100, 3))]
    async with disk.draft("disk0") as draft:
        for count in range(1, 4):
            await put(draft, parts[count - 1 : count])
            await draft.flush()
            assert await asyncio.to_thread(harness.read, draft.path) == together(parts[:count])
        await draft.commit()
    assert harness.content("disk0") == together(parts)


async def test_writing_goes_on_behind_what_was_flushed(disk: AnyPool, harness: Harness) -> None:
    data = noise(20_000)
    async with disk.draft("disk0") as draft:
        await put(draft, [(MIB, data[:5000])])
        await draft.flush()
        await draft.write(data[5000:])
        await draft.go_to(0)
        await draft.write(b"begin")
        await draft.commit()
    assert harness.content("disk0") == together([(MIB, data), (0, b"begin")])


@pytest.mark.parametrize("place", [SIZE, SIZE + 4096, 1 << 40])
async def test_to_write_past_the_end_is_refused(disk: AnyPool, unchanged: Unchanged, place: int) -> None:
    async with unchanged():
        with pytest.raises(ImageTooLarge):
            async with disk.draft("disk0") as draft:
                await draft.write(noise(5000))
                await draft.go_to(place)
                await draft.write(b"x")


async def test_to_go_past_the_end_is_refused(disk: AnyPool, unchanged: Unchanged) -> None:
    async with unchanged():
        with pytest.raises(ImageTooLarge):
            async with disk.draft("disk0") as draft:
                await draft.go_to(SIZE + 4096)


async def test_scratch_space_that_is_written_backwards_is_whole(disk: AnyPool, harness: Harness) -> None:
    parts = [(MIB, noise(5000)), (0, noise(100, 2))]
    async with disk.scratch("disk0", 1 << 30) as scratch:
        await put(scratch, parts)
        await scratch.flush()
        seen = await asyncio.to_thread(harness.read, scratch.path)
    assert seen.ljust(2 * MIB, b"\0")[: 2 * MIB] == together(parts, 2 * MIB)


async def test_to_write_up_past_the_end_is_refused(disk: AnyPool, unchanged: Unchanged) -> None:
    async with unchanged():
        with pytest.raises(ImageTooLarge):
            async with disk.draft("disk0") as draft:
                await draft.go_to(SIZE - 4096)
                await draft.write(noise(4097))
