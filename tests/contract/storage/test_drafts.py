from __future__ import annotations

import asyncio
import random

import pytest

from pvc.errors import Changed, ImageTooLarge, InUse, NotFound
from pvc.storage.base import Draft
from pvc.units import KIB, MIB
from tests.contract.storage.conftest import Unchanged
from tests.contract.storage.harness import AnyPool, Harness

SIZE = 16 * MIB


@pytest.fixture
async def disk(pool: AnyPool, harness: Harness) -> AnyPool:
    """A pool with a volume "disk0" full of "old!"."""
    await pool.create("disk0", SIZE)
    harness.fill("disk0", b"old!" * (SIZE // 4))
    return pool


def patchwork(size: int) -> bytes:
    """Data and zeroes in stretches of every kind of length; the same each time."""
    source = random.Random(size)
    parts: list[bytes] = []
    while (have := sum(map(len, parts))) < size:
        length = min(source.choice([1, 511, 4096, 65535, 65536, 300_000, 5_000_000]), size - have)
        parts.append(bytes(length) if source.random() < 0.5 else source.randbytes(length))
    return b"".join(parts)


async def write_in(draft: Draft, data: bytes, piece: int) -> None:
    for offset in range(0, len(data), piece):
        await draft.write(data[offset : offset + piece])


@pytest.mark.parametrize("piece", [1021, 64 * KIB, 256 * KIB, 9 * MIB])
async def test_a_committed_draft_is_the_content(disk: AnyPool, harness: Harness, piece: int) -> None:
    data = patchwork(SIZE)
    async with disk.draft("disk0") as draft:
        assert draft.size == SIZE
        await write_in(draft, data, piece)
        await draft.commit()
    assert harness.content("disk0") == data
    assert await harness.hidden() == []


@pytest.mark.parametrize("length", [0, 1, 4095, 4097, 4 * MIB, 4 * MIB + 1, SIZE - 1])
async def test_zeroes_follow_what_was_written(disk: AnyPool, harness: Harness, length: int) -> None:
    async with disk.draft("disk0") as draft:
        await draft.write(b"x" * length)
        await draft.commit()
    assert harness.content("disk0") == b"x" * length + bytes(SIZE - length)


async def test_zeroes_are_not_stored(disk: AnyPool, harness: Harness) -> None:
    async with disk.draft("disk0") as draft:
        await draft.write(bytes(5 * MIB) + b"x" * MIB + bytes(SIZE - 6 * MIB))
        await draft.commit()
    used = (await disk.volume("disk0")).used
    assert used is not None
    assert MIB <= used <= MIB + 2 * harness.grain
    assert harness.content("disk0")[5 * MIB : 6 * MIB] == b"x" * MIB


@pytest.mark.parametrize("first", [0, 1, 4096, 3 * MIB, 4 * MIB])
@pytest.mark.parametrize("length", [0, 1, 50, 4096, MIB, 4 * MIB - 1, 4 * MIB, 9 * MIB + 7])
async def test_what_is_skipped_is_zeroes(disk: AnyPool, harness: Harness, first: int, length: int) -> None:
    async with disk.draft("disk0") as draft:
        await draft.write(b"a" * first)
        await draft.skip(length)
        await draft.write(b"b" * 5000)
        await draft.commit()
    assert harness.content("disk0") == (b"a" * first + bytes(length) + b"b" * 5000).ljust(SIZE, b"\0")


async def test_skipped_space_does_not_show_what_was_in_the_buffer_before(disk: AnyPool, harness: Harness) -> None:
    async with disk.draft("disk0") as draft:
        await draft.write(b"x" * SIZE)
    async with disk.draft("disk0") as draft:
        for _ in range(SIZE // MIB):
            await draft.write(b"y" * 1000)
            await draft.skip(MIB - 1000)
        await draft.commit()
    assert harness.content("disk0") == (b"y" * 1000).ljust(MIB, b"\0") * (SIZE // MIB)


async def test_to_skip_past_the_end_is_refused(disk: AnyPool, unchanged: Unchanged) -> None:
    async with unchanged():
        with pytest.raises(ImageTooLarge):
            async with disk.draft("disk0") as draft:
                await draft.skip(SIZE)
                await draft.skip(1)


async def test_skipped_scratch_space_is_zeroes(disk: AnyPool, harness: Harness) -> None:
    async with disk.scratch("disk0", 1 << 40) as scratch:
        await scratch.write(b"a")
        await scratch.skip(200 * MIB)
        await scratch.write(b"b")
        await scratch.flush()
        seen = await asyncio.to_thread(harness.read, scratch.path)
    assert seen.rstrip(b"\0") == b"a" + bytes(200 * MIB) + b"b"


async def test_the_caller_may_use_its_buffer_again(disk: AnyPool, harness: Harness) -> None:
    buffer = bytearray(b"a" * MIB)
    async with disk.draft("disk0") as draft:
        await draft.write(buffer)
        buffer[:] = b"b" * MIB
        await draft.write(memoryview(buffer))
        buffer[:] = b"c" * MIB
        await draft.commit()
    assert harness.content("disk0")[: 2 * MIB] == b"a" * MIB + b"b" * MIB


async def test_nothing_is_seen_before_the_commit(disk: AnyPool, harness: Harness) -> None:
    async with disk.draft("disk0") as draft:
        await draft.write(b"new!" * (SIZE // 4))
        await draft.flush()
        assert harness.content("disk0")[:4] == b"old!"
        assert [volume.name for volume in await disk.volumes()] == ["disk0"]
        await draft.commit()
        assert harness.content("disk0")[:4] == b"new!"


async def test_a_draft_without_commit_leaves_nothing(disk: AnyPool, unchanged: Unchanged) -> None:
    async with unchanged():
        async with disk.draft("disk0") as draft:
            await draft.write(b"new!" * (SIZE // 4))
            await draft.flush()
        with pytest.raises(ZeroDivisionError):
            async with disk.draft("disk0") as draft:
                await draft.write(b"new!" * (SIZE // 4))
                raise ZeroDivisionError


async def test_more_than_fits_is_refused(disk: AnyPool, unchanged: Unchanged) -> None:
    async with unchanged():
        with pytest.raises(ImageTooLarge) as exc:
            async with disk.draft("disk0") as draft:
                await draft.write(b"x" * SIZE)
                await draft.write(b"x")
    assert exc.value.fields == {"size": SIZE + 1, "volume": "local/disk0", "limit": SIZE}


async def test_another_program_reads_what_was_flushed_and_writing_goes_on(disk: AnyPool, harness: Harness) -> None:
    data = patchwork(SIZE)
    async with disk.draft("disk0") as draft:
        for offset in range(0, SIZE, 3_000_001):
            await draft.write(data[offset : offset + 3_000_001])
            await draft.flush()
            seen = await asyncio.to_thread(harness.read, draft.path)
            assert seen[: offset + 3_000_001] == data[: offset + 3_000_001]
            assert len(seen) == SIZE
        await draft.commit()
    assert harness.content("disk0") == data


async def test_what_another_program_writes_into_the_draft_is_committed(disk: AnyPool, harness: Harness) -> None:
    async with disk.draft("disk0") as draft:
        assert await asyncio.to_thread(harness.read, draft.path) == bytes(SIZE)
        await asyncio.to_thread(harness.write, draft.path, b"converted")
        await draft.commit()
    assert harness.content("disk0") == b"converted" + bytes(SIZE - 9)


async def test_scratch_space_is_there_and_then_gone(disk: AnyPool, harness: Harness, unchanged: Unchanged) -> None:
    async with unchanged(), disk.scratch("disk0", MIB) as scratch:
        await scratch.write(b"x" * 5000)
        await scratch.flush()
        assert (await asyncio.to_thread(harness.read, scratch.path)).rstrip(b"\0") == b"x" * 5000
        with pytest.raises(ImageTooLarge):
            await scratch.write(b"x" * MIB)


async def test_a_volume_that_came_into_use_meanwhile_keeps_its_content(
    disk: AnyPool, harness: Harness, unchanged: Unchanged
) -> None:
    async with unchanged():
        with pytest.raises(InUse):
            async with disk.draft("disk0") as draft:
                await draft.write(b"new")
                with harness.held("disk0"):
                    await draft.commit()


async def test_a_volume_that_was_resized_meanwhile_is_not_overwritten(disk: AnyPool, harness: Harness) -> None:
    with pytest.raises(Changed):
        async with disk.draft("disk0") as draft:
            await draft.write(b"new")
            await disk.resize("disk0", 2 * SIZE)
            await draft.commit()
    assert harness.content("disk0")[:4] == b"old!"
    assert (await disk.volume("disk0")).size == 2 * SIZE


async def test_of_two_drafts_of_one_volume_the_first_commit_wins(disk: AnyPool, harness: Harness) -> None:
    with pytest.raises(Changed):
        async with disk.draft("disk0") as late, disk.draft("disk0") as early:
            await late.write(b"late")
            await early.write(b"early")
            await early.commit()
            await late.commit()
    assert harness.content("disk0")[:5] == b"early"
    assert await harness.hidden() == []


async def test_a_volume_that_was_renamed_meanwhile_is_not_brought_back(disk: AnyPool, harness: Harness) -> None:
    with pytest.raises(NotFound):
        async with disk.draft("disk0") as draft:
            await draft.write(b"new")
            await disk.rename("disk0", "disk1")
            await draft.commit()
    assert [volume.name for volume in await disk.volumes()] == ["disk1"]
    assert harness.content("disk1")[:4] == b"old!"
    assert await harness.hidden() == []


async def test_snapshots_survive_an_upload(disk: AnyPool, harness: Harness) -> None:
    await disk.snapshot("disk0", "before")
    async with disk.draft("disk0") as draft:
        await draft.write(b"new")
        await draft.commit()
    await disk.roll_back("disk0", "before")
    assert harness.content("disk0") == b"old!" * (SIZE // 4)


async def test_many_drafts_at_once_do_not_mix_or_block_each_other(pool: AnyPool, harness: Harness) -> None:
    async def upload(number: int) -> None:
        await pool.create(f"disk{number}", SIZE)
        async with pool.draft(f"disk{number}") as draft:
            await write_in(draft, bytes([number + 1]) * SIZE, 3 * MIB)
            await gate.wait()  # every draft is full of data before any ends
            await draft.commit()

    gate = asyncio.Barrier(9)
    await asyncio.gather(*(upload(number) for number in range(9)))
    for number in range(9):
        assert harness.content(f"disk{number}") == bytes([number + 1]) * SIZE


async def test_what_a_dead_process_left_is_removed_and_what_lives_stays(disk: AnyPool, harness: Harness) -> None:
    async with disk.draft("disk0") as draft:
        await draft.write(b"new")
        other = await harness.open()
        assert list(await other.remove_orphans()) == []
        await other.aclose()
        await draft.commit()
    assert harness.content("disk0")[:3] == b"new"
