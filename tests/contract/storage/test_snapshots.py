from __future__ import annotations

import pytest

from pvc.errors import AlreadyExists, Conflict, NotFound
from pvc.units import MIB
from tests.contract.storage.conftest import Unchanged
from tests.contract.storage.harness import AnyPool, Harness


@pytest.fixture
async def disk(pool: AnyPool, harness: Harness) -> AnyPool:
    """A pool with a volume "disk0" that holds "old" and has a snapshot "snap"."""
    await pool.create("disk0", 16 * MIB)
    harness.fill("disk0", b"old", 8 * MIB)
    await pool.snapshot("disk0", "snap")
    return pool


async def test_snapshots_are_listed_by_name_and_counted(disk: AnyPool) -> None:
    taken = await disk.snapshot("disk0", "again")
    assert (taken.volume, taken.name, taken.size) == ("disk0", "again", 16 * MIB)
    assert [snap.name for snap in await disk.snapshots("disk0")] == ["again", "snap"]
    assert (await disk.volume("disk0")).snapshots == 2
    assert [volume.name for volume in await disk.volumes()] == ["disk0"]


async def test_a_snapshot_is_read_as_it_was(disk: AnyPool, harness: Harness) -> None:
    before = harness.content("disk0")
    harness.fill("disk0", b"new", 8 * MIB)
    read = bytearray(16 * MIB)
    async with disk.content("disk0", "snap") as content:
        assert await content.size() == 16 * MIB
        stretches = await content.stretches()
        for start, end in stretches:
            read[start:end] = b"".join([data async for data in content.read(start, end)])
    assert read == before
    assert sum(end - start for start, end in stretches) <= 2 * harness.grain
    for volume, name in (("disk0", "absent"), ("absent", "snap")):
        with pytest.raises(NotFound):
            async with disk.content(volume, name):
                pass


async def test_rolling_back_restores_content_and_size_any_number_of_times(disk: AnyPool, harness: Harness) -> None:
    before = harness.content("disk0")
    for _ in range(2):
        harness.fill("disk0", b"new", 8 * MIB)
        await disk.resize("disk0", 32 * MIB)
        await disk.roll_back("disk0", "snap")
        assert harness.content("disk0") == before
    assert [snap.name for snap in await disk.snapshots("disk0")] == ["snap"]
    assert await harness.hidden() == []


async def test_a_rolled_back_volume_is_sparse(disk: AnyPool, harness: Harness) -> None:
    await disk.roll_back("disk0", "snap")
    used = (await disk.volume("disk0")).used
    assert used is not None
    assert used <= 2 * harness.grain


async def test_a_snapshot_does_not_follow_its_volume(disk: AnyPool, harness: Harness) -> None:
    harness.fill("disk0", b"new", 8 * MIB)
    await disk.resize("disk0", MIB, shrink=True)
    await disk.roll_back("disk0", "snap")
    assert harness.content("disk0")[8 * MIB : 8 * MIB + 3] == b"old"


async def test_a_volume_with_snapshots_is_not_removed(disk: AnyPool, unchanged: Unchanged) -> None:
    async with unchanged():
        with pytest.raises(Conflict, match="has 1 snapshot"):
            await disk.remove("disk0")
    await disk.remove_snapshot("disk0", "snap")
    await disk.remove("disk0")
    assert await disk.volumes() == []


async def test_a_new_volume_of_an_old_name_has_no_snapshots(disk: AnyPool) -> None:
    await disk.remove_snapshot("disk0", "snap")
    await disk.remove("disk0")
    await disk.create("disk0", MIB)
    assert await disk.snapshots("disk0") == []


async def test_a_snapshot_can_be_renamed(disk: AnyPool) -> None:
    await disk.rename_snapshot("disk0", "snap", "first")
    assert [snap.name for snap in await disk.snapshots("disk0")] == ["first"]


async def test_a_used_snapshot_name_is_refused_and_changes_nothing(disk: AnyPool, unchanged: Unchanged) -> None:
    await disk.snapshot("disk0", "other")
    async with unchanged():
        with pytest.raises(AlreadyExists) as exc:
            await disk.snapshot("disk0", "snap")
        assert exc.value.fields == {"kind": "snapshot", "name": "local/disk0@snap"}
        with pytest.raises(AlreadyExists):
            await disk.rename_snapshot("disk0", "snap", "other")


async def test_an_unknown_snapshot_is_named_in_the_refusal(disk: AnyPool, unchanged: Unchanged) -> None:
    async with unchanged():
        for request in (
            disk.roll_back("disk0", "gone"),
            disk.remove_snapshot("disk0", "gone"),
            disk.rename_snapshot("disk0", "gone", "other"),
            disk.remove_snapshot("none", "gone"),
        ):
            with pytest.raises(NotFound, match="gone"):
                await request
