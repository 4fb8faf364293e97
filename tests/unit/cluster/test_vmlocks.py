"""Locks are flushed only where nothing runs. What Ceph has of locks is in tests/contract/storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pvc.cluster import vmlocks, volumes
from pvc.errors import Busy, Conflict
from pvc.model.records import Desired, Observed, Power
from pvc.storage.base import Lock
from pvc.storage.directory import DirectoryPool
from pvc.storage.folder import Folder
from tests.parts import documents
from tests.unit.cluster.house import House

LOCK = Lock("web1", "client.4123", "10.99.0.1:0/1234")


class Locked(DirectoryPool):
    """Somebody left a lock on each volume."""

    broken: bool = False

    async def locks(self, volume: str) -> list[Lock]:
        await self.volume(volume)
        return [] if self.broken else [LOCK]

    async def break_locks(self, volume: str) -> list[Lock]:
        found = await self.locks(volume)
        self.broken = True
        return found


class LockedHouse(House):
    pool: Locked


@pytest.fixture
async def locked(house: House, tmp_path: Path) -> AsyncIterator[LockedHouse]:
    pool = Locked(await asyncio.to_thread(Folder, "local", tmp_path / "locked"))
    there = LockedHouse(house.state, house.other, pool)
    await there.volumes("web1", "lost")
    await there.define("web1", [documents.disk("local/web1"), documents.disk("local/lost", "vdb")])
    await pool.remove("lost")
    yield there
    await pool.aclose()


async def write(house: House, **changes: object) -> None:
    held = await house.state.find_vm("web1")
    await house.state.write_vm(held, replace(held.record, **changes))


async def test_the_locks_of_a_stopped_vm_are_broken_and_told(locked: LockedHouse) -> None:
    vm = (await locked.state.find_vm("web1")).record
    assert await vmlocks.seen(locked.pools, vm) == [("local/web1", LOCK)]
    assert await vmlocks.flush(locked.state, locked.pools, "web1") == (vm, [("local/web1", LOCK)])
    assert await vmlocks.flush(locked.state, locked.pools, "web1") == (vm, [])


async def test_those_of_a_vm_that_is_to_run_stay_although_its_node_is_dead(locked: LockedHouse) -> None:
    await write(locked, desired=Desired.RUNNING, run=1)
    with pytest.raises(Conflict, match="runs or is to run; its locks can be flushed when it is stopped"):
        await vmlocks.flush(locked.state, locked.pools, "web1")
    assert not locked.pool.broken


async def test_those_of_a_vm_that_has_not_ended_yet_stay(locked: LockedHouse) -> None:
    await locked.join()
    vm = (await locked.state.find_vm("web1")).record
    await locked.publish(**{vm.uuid: Observed(power=Power.RUNNING, run=0)})
    with pytest.raises(Conflict, match='has not ended yet on node "hv1"'):
        await vmlocks.flush(locked.state, locked.pools, "web1")
    assert not locked.pool.broken


async def test_those_of_a_vm_that_is_busy_or_just_starts_stay(locked: LockedHouse) -> None:
    async with volumes.reserved(locked.other, "local", "web1", 'the start of VM "web1"'):
        with pytest.raises(Busy, match='is busy with the start of VM "web1"'):
            await vmlocks.flush(locked.state, locked.pools, "web1")
    await write(locked, task="t1")
    with pytest.raises(Busy, match='is busy with task "t1"'):
        await vmlocks.flush(locked.state, locked.pools, "web1")
    assert not locked.pool.broken
