from __future__ import annotations

import asyncio

import pytest

from pvc.errors import AlreadyExists, Conflict, InUse, InvalidInput, NotFound, PoolFull, PVCError
from pvc.units import KIB, MIB
from tests.contract.storage.conftest import Unchanged
from tests.contract.storage.harness import AnyPool, Harness


async def test_a_new_pool_is_empty_and_says_how_much_fits(pool: AnyPool) -> None:
    usage = await pool.usage()
    assert await pool.volumes() == []
    assert usage.total >= usage.free > 0
    assert usage.total >= usage.used >= 0


async def test_a_created_volume_is_listed_and_takes_no_space(pool: AnyPool, harness: Harness) -> None:
    created = await pool.create("disk0", 64 * MIB)
    assert (created.name, created.size, created.snapshots, created.problem) == ("disk0", 64 * MIB, 0, "")
    assert created.used is not None
    assert created.used < MIB
    assert await pool.volumes() == [created]
    assert await pool.volume("disk0") == created
    assert harness.content("disk0") == bytes(64 * MIB)


async def test_volumes_are_listed_by_name(pool: AnyPool) -> None:
    for name in ("b", "a.1", "c", "a"):
        await pool.create(name, MIB)
    assert [volume.name for volume in await pool.volumes()] == ["a", "a.1", "b", "c"]


async def test_names_are_those_of_the_volumes_and_of_nothing_else(pool: AnyPool) -> None:
    for name in ("b", "a"):
        await pool.create(name, MIB)
    await pool.snapshot("a", "before")
    async with pool.draft("b"):
        assert sorted(await pool.volume_names()) == ["a", "b"]


async def test_sizes_are_rounded_up_and_the_answer_says_to_what(pool: AnyPool) -> None:
    assert (await pool.create("disk0", 1)).size == 4 * KIB
    assert (await pool.resize("disk0", 4 * KIB + 1)).size == 8 * KIB


async def test_create_twice_is_refused_and_changes_nothing(pool: AnyPool, unchanged: Unchanged) -> None:
    await pool.create("disk0", MIB)
    async with unchanged():
        with pytest.raises(AlreadyExists) as exc:
            await pool.create("disk0", 2 * MIB)
    assert exc.value.fields == {"kind": "volume", "name": "local/disk0"}


async def test_what_the_pool_could_never_hold_is_refused(pool: AnyPool, unchanged: Unchanged) -> None:
    await pool.create("disk0", MIB)
    too_much = (await pool.usage()).total + 1
    async with unchanged():
        with pytest.raises(PoolFull):
            await pool.create("disk1", too_much)
        with pytest.raises(PoolFull):
            await pool.resize("disk0", too_much)


@pytest.mark.parametrize("name", ["", "..", "../disk0", "a/b", ".hidden", "-x", "a\0b", "a\nb", "x" * 121])
async def test_a_name_that_could_leave_the_pool_is_refused(pool: AnyPool, unchanged: Unchanged, name: str) -> None:
    await pool.create("disk0", MIB)
    async with unchanged():
        for request in (
            pool.create(name, MIB),
            pool.volume(name),
            pool.remove(name),
            pool.resize(name, MIB),
            pool.clone("disk0", name),
            pool.rename("disk0", name),
            pool.snapshot("disk0", name),
            pool.snapshot(name, "snap"),
            pool.is_open(name),
        ):
            with pytest.raises(InvalidInput):
                await request
        with pytest.raises(InvalidInput):
            pool.source(name)
        with pytest.raises(InvalidInput):
            async with pool.draft(name):
                pass


async def test_what_does_not_exist_is_named_in_the_refusal(pool: AnyPool, unchanged: Unchanged) -> None:
    await pool.create("disk0", MIB)
    async with unchanged():
        for request in (
            pool.volume("gone"),
            pool.remove("gone"),
            pool.resize("gone", MIB),
            pool.rename("gone", "other"),
            pool.clone("gone", "other"),
            pool.is_open("gone"),
            pool.snapshots("gone"),
            pool.snapshot("gone", "snap"),
        ):
            with pytest.raises(NotFound) as exc:
                await request
            assert exc.value.fields == {"kind": "volume", "name": "local/gone"}
        with pytest.raises(NotFound):
            async with pool.draft("gone"):
                pass


async def test_growing_keeps_the_content_and_adds_zeroes(pool: AnyPool, harness: Harness) -> None:
    await pool.create("disk0", MIB)
    harness.fill("disk0", b"x" * MIB)
    assert (await pool.resize("disk0", 2 * MIB)).size == 2 * MIB
    assert harness.content("disk0") == b"x" * MIB + bytes(MIB)


async def test_shrinking_must_be_asked_for(pool: AnyPool, harness: Harness, unchanged: Unchanged) -> None:
    await pool.create("disk0", 2 * MIB)
    harness.fill("disk0", b"x" * 2 * MIB)
    async with unchanged():
        with pytest.raises(Conflict):
            await pool.resize("disk0", MIB)
    assert (await pool.resize("disk0", MIB, shrink=True)).size == MIB
    assert harness.content("disk0") == b"x" * MIB


async def test_rename_takes_content_and_snapshots_along(pool: AnyPool, harness: Harness) -> None:
    await pool.create("disk0", MIB)
    harness.fill("disk0", b"old")
    await pool.snapshot("disk0", "before")
    await pool.rename("disk0", "disk1")
    assert [volume.name for volume in await pool.volumes()] == ["disk1"]
    assert harness.content("disk1")[:3] == b"old"
    assert [(snap.volume, snap.name) for snap in await pool.snapshots("disk1")] == [("disk1", "before")]
    assert await harness.hidden() == []


async def test_rename_onto_another_volume_is_refused(pool: AnyPool, unchanged: Unchanged) -> None:
    await pool.create("disk0", MIB)
    await pool.create("disk1", MIB)
    async with unchanged():
        for new_name in ("disk1", "disk0"):
            with pytest.raises(AlreadyExists):
                await pool.rename("disk0", new_name)


async def test_a_clone_has_the_content_and_stays_sparse(pool: AnyPool, harness: Harness) -> None:
    await pool.create("disk0", 64 * MIB)
    harness.fill("disk0", b"x" * MIB, 32 * MIB)
    harness.fill("disk0", b"end", 64 * MIB - 3)
    clone = await pool.clone("disk0", "disk1")
    assert harness.content("disk1") == harness.content("disk0")
    assert clone.used is not None
    assert MIB <= clone.used <= MIB + 2 * harness.grain
    harness.fill("disk1", b"other")
    assert harness.content("disk0")[:5] == bytes(5)
    assert await harness.hidden() == []


async def test_how_far_a_copy_is_can_be_heard(pool: AnyPool, harness: Harness) -> None:
    """Of what is kept, not of the holes."""
    await pool.create("disk0", 64 * MIB)
    harness.fill("disk0", b"x" * MIB, 32 * MIB)
    heard: list[tuple[int, int]] = []
    await pool.clone("disk0", "disk1", lambda done, total: heard.append((done, total)))
    if not heard:
        pytest.skip("the file system of the pool shares blocks instead of copying them")
    assert heard == sorted(heard)
    assert (heard[0][0], heard[-1][0]) == (0, heard[-1][1])
    assert {MIB <= total <= MIB + 2 * harness.grain for _, total in heard} == {True}


async def test_clone_onto_another_volume_is_refused(pool: AnyPool, unchanged: Unchanged) -> None:
    await pool.create("disk0", MIB)
    await pool.create("disk1", MIB)
    async with unchanged():
        with pytest.raises(AlreadyExists):
            await pool.clone("disk0", "disk1")


async def test_a_removed_volume_is_gone(pool: AnyPool) -> None:
    await pool.create("disk0", MIB)
    await pool.remove("disk0")
    assert await pool.volumes() == []


async def test_of_many_who_create_one_name_one_succeeds(pool: AnyPool) -> None:
    answers = await asyncio.gather(*(pool.create("disk0", MIB) for _ in range(8)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyExists"] * 7 + ["Volume"]


async def test_requests_for_one_volume_take_turns(pool: AnyPool, harness: Harness) -> None:
    await pool.create("disk0", MIB)
    harness.fill("disk0", b"x" * MIB)
    await asyncio.gather(
        *(pool.clone("disk0", f"clone{number}") for number in range(4)),
        pool.snapshot("disk0", "snap"),
    )
    assert [harness.content(f"clone{number}") for number in range(4)] == [b"x" * MIB] * 4


async def test_opposite_renames_do_not_wait_for_each_other_forever(pool: AnyPool) -> None:
    await pool.create("a", MIB)
    await pool.create("b", MIB)
    answers = await asyncio.gather(pool.rename("a", "b"), pool.rename("b", "a"), return_exceptions=True)
    assert all(isinstance(answer, AlreadyExists) for answer in answers)


async def test_what_a_guest_has_open_is_left_alone(pool: AnyPool, harness: Harness, unchanged: Unchanged) -> None:
    await pool.create("disk0", MIB)
    harness.fill("disk0", b"guest")
    await pool.snapshot("disk0", "snap")
    assert not await pool.is_open("disk0")
    with harness.held("disk0"):
        assert await pool.is_open("disk0")
        async with unchanged():
            for request in (
                pool.resize("disk0", 2 * MIB),
                pool.rename("disk0", "disk1"),
                pool.clone("disk0", "disk1"),
                pool.remove("disk0"),
                pool.roll_back("disk0", "snap"),
            ):
                with pytest.raises(InUse) as exc:
                    await request
                assert exc.value.fields["name"] == "local/disk0"
            with pytest.raises(InUse):
                async with pool.draft("disk0"):
                    pass
    assert not await pool.is_open("disk0")
    await pool.rename("disk0", "disk1")


async def test_a_snapshot_of_what_a_guest_has_open_is_whole_or_refused(
    pool: AnyPool, harness: Harness, unchanged: Unchanged
) -> None:
    await pool.create("disk0", MIB)
    harness.fill("disk0", b"guest")
    with harness.held("disk0"):
        if harness.refuses_snapshots_in_use:
            async with unchanged():
                with pytest.raises(InUse):
                    await pool.snapshot("disk0", "snap")
            return
        await pool.snapshot("disk0", "snap")
    harness.fill("disk0", b"later")
    await pool.roll_back("disk0", "snap")
    assert harness.content("disk0")[:5] == b"guest"


async def test_the_hypervisor_is_told_where_a_volume_is(pool: AnyPool) -> None:
    assert pool.source("disk0") != pool.source("disk1")


async def test_every_refusal_is_one_sentence(pool: AnyPool) -> None:
    await pool.create("disk0", 2 * MIB)
    await pool.snapshot("disk0", "snap")
    for request in (pool.create("disk0", MIB), pool.resize("disk0", MIB), pool.remove("disk0"), pool.volume("gone")):
        with pytest.raises(PVCError) as exc:
            await request
        assert str(exc.value)[0].isupper()
        assert str(exc.value).endswith(".")
        assert "'" not in str(exc.value)
