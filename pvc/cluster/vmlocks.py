"""Locks on a VM's volumes that a machine left which died: seen, and broken while nothing of the VM runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import cast

from pvc.cluster import devices, volumes
from pvc.cluster.state import State
from pvc.cluster.vms import check_free
from pvc.errors import Conflict, NotFound
from pvc.model import names
from pvc.model.records import VM, Desired
from pvc.model.states import is_over
from pvc.storage.base import Lock, Locks, Pool


async def seen(pools: Mapping[str, Pool], vm: VM) -> list[tuple[str, Lock]]:
    """Each with its volume as POOL/VOLUME; volumes that are absent have none."""
    found = []
    for volume in sorted(set(volumes.of_vm(vm))):
        pool, name = await _pool(pools, volume)
        try:
            found += [(volume, lock) for lock in await pool.locks(name)]
        except NotFound:
            continue
    return found


async def flush(state: State, pools: Mapping[str, Pool], name: str) -> tuple[VM, list[tuple[str, Lock]]]:
    """Break them all. Raises Conflict while the VM runs or is to, InUse where somebody alive has a volume open."""
    vm = (await state.find_vm(name)).record
    check_free(vm)
    await _check_off(state, vm)
    broken = []
    async with AsyncExitStack() as holding:
        for volume in sorted(set(volumes.of_vm(vm))):
            holder = f'the flush of the locks of VM "{vm.name}"'
            await holding.enter_async_context(volumes.reserved(state, *names.split_volume(volume), holder))
        await _check_off(state, (await state.vm(vm.uuid)).record)
        for volume in sorted(set(volumes.of_vm(vm))):
            pool, disk = await _pool(pools, volume)
            try:
                broken += [(volume, lock) for lock in await pool.break_locks(disk)]
            except NotFound:
                continue
    return vm, broken


async def _check_off(state: State, vm: VM) -> None:
    """Of a VM whose node is dead only its wish is known; whether its guest lives, its volumes tell."""
    observed = await state.observed(vm)
    if vm.desired is Desired.RUNNING and not is_over(vm, observed):
        raise Conflict(
            kind="VM", name=vm.name, problem="runs or is to run; its locks can be flushed when it is stopped"
        )
    if await state.node_alive(vm.node) and devices.may_be_alive(vm, observed):
        raise Conflict(kind="VM", name=vm.name, problem=f'has not ended yet on node "{vm.node}"')


async def _pool(pools: Mapping[str, Pool], volume: str) -> tuple[Locks, str]:
    """Every pool there is now tells its locks."""
    pool, name = names.split_volume(volume)
    return cast("Locks", await volumes.pool_of(pools, pool)), name
