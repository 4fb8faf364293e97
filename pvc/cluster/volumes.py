"""Volumes seen from the VMs: who uses one, and what may therefore be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from pvc.cluster.state import State
from pvc.errors import Conflict, InUse, NotFound
from pvc.model import domain, names
from pvc.model.records import VM, Desired
from pvc.model.states import is_over
from pvc.storage.base import Pool


def pool_of(pools: Mapping[str, Pool], name: str) -> Pool:
    """Raises NotFound."""
    if name not in pools:
        raise NotFound(kind="pool", name=name)
    return pools[name]


async def users(state: State, volume: str) -> list[VM]:
    """The VMs whose configuration has POOL/VOLUME. Raises Corrupt when a VM cannot be read: it might be one."""
    return [
        held.record
        for held in await state.readable_vms()
        if any(disk.volume == volume for disk in domain.describe(held.record.xml).disks)
    ]


async def check_unused(state: State, volume: str) -> None:
    """Raises InUse when a VM has the volume, running or not."""
    for vm in await users(state, volume):
        raise InUse(kind="volume", name=volume, user=f'VM "{vm.name}"')


async def check_idle(state: State, pool: Pool, name: str) -> None:
    """Raises InUse when a VM that has the volume runs, or is asked to."""
    volume = f"{pool.name}/{name}"
    for vm in await users(state, volume):
        observed = await state.observed(vm)
        wanted = vm.desired is Desired.RUNNING and not is_over(vm, observed)
        if wanted or await pool.is_open(name):
            raise InUse(kind="volume", name=volume, user=f'VM "{vm.name}"')


async def check_disks(state: State, pools: Mapping[str, Pool], vm: VM) -> None:
    """Raises NotFound for a volume that is absent, InUse for one that another VM has."""
    for disk in domain.describe(vm.xml).disks:
        if disk.volume:
            pool, name = names.split_volume(disk.volume)
            await pool_of(pools, pool).volume(name)
            for other in await users(state, disk.volume):
                if other.uuid != vm.uuid:
                    raise InUse(kind="volume", name=disk.volume, user=f'VM "{other.name}"')


async def removable(state: State, pools: Mapping[str, Pool], vm: VM) -> list[str]:
    """The volumes that go with `vm`. Raises InUse, Conflict for the first that cannot; absent ones are passed over."""
    found = []
    for volume in {disk.volume for disk in domain.describe(vm.xml).disks if disk.volume}:
        pool, name = names.split_volume(volume)
        for other in await users(state, volume):
            if other.uuid != vm.uuid:
                raise InUse(kind="volume", name=volume, user=f'VM "{other.name}"')
        try:
            entry = await pool_of(pools, pool).volume(name)
        except NotFound:
            continue
        if entry.snapshots:
            raise Conflict(kind="volume", name=volume, problem="has snapshots, so the VM cannot be removed with it")
        found.append(volume)
    return sorted(found)


def reserved(state: State, pool: str, name: str, holder: str) -> AbstractAsyncContextManager[None]:
    """Hold a volume for an upload or another change of its content. Raises Busy with the present holder."""
    return state.store.lock(f"volume.{pool}.{name}", holder)
