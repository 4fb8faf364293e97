"""VMs made of OVAs: a copy of each disk, and the OVA stays as it is.

The task names the copies. One that nobody runs any more was left by a server that died, and its copies go
(pvc/cluster/leftovers.py).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

from pvc.cluster import ovas, tasks, vms, volumes
from pvc.cluster.state import State
from pvc.cluster.tasks import Running
from pvc.errors import AlreadyExists, Busy, Corrupt, InUse, NotFound, PoolUnavailable, PVCError, StoreUnavailable
from pvc.model import appliance, names
from pvc.model.records import OVA, VM, OVADisk, Task
from pvc.storage.base import Heard, Pool

log = logging.getLogger("pvc.server")


@asynccontextmanager
async def reserved_new(state: State, pools: Mapping[str, Pool], vm: VM, holder: str) -> AsyncIterator[None]:
    """Hold a VM that is about to be made, and the names of its volumes. Raises AlreadyExists, Busy, InUse, Conflict."""
    async with vms.reserved(state, vm, holder), vms.claimed(state, vm):
        for volume in volumes.of_vm(vm):
            await ovas.check_absent(pools, volume)
        yield


def args(vm: VM, done: str) -> dict[str, str]:
    """Of the task, for whoever finds it. done: its result."""
    return {"copies": " ".join(volumes.of_vm(vm)), "done": done}


async def define(state: State, pools: Mapping[str, Pool], ova: OVA, vm: VM, running: Running) -> None:
    """Define `vm`, which has a volume for each of the OVA's, called as model.appliance says. The caller holds it.

    Raises what vms.write_new and Pool.clone raise, NotFound when the OVA goes meanwhile; nothing stays behind then.
    What cannot be undone now is left to `clear`, and so is the end of the task.
    """
    begun: list[str] = []
    try:
        for number, disk in enumerate(ova.disks, 1):
            running.report(phase := f"copying disk {number} of {len(ova.disks)}", 0, 0)
            begun.append(appliance.volume_of_vm(disk.volume, vm.name, disk.dev))
            try:
                await _copy(state, pools, ova, disk, begun[-1], partial(running.report, phase))
            except AlreadyExists:
                begun.pop()  # it is somebody else's
                raise
        await vms.write_new(state, vm, await state.node_entry(vm.node))
    except StoreUnavailable:
        running.leave()  # the VM may have been written: without its disks it would be worse than disks without a VM
        raise
    except BaseException:
        if state.store.lost.is_set() or not await _undone(pools, begun):
            running.leave()
        raise


async def _copy(state: State, pools: Mapping[str, Pool], ova: OVA, disk: OVADisk, copy: str, heard: Heard) -> None:
    pool_name, source = names.split_volume(disk.volume)
    pool = await volumes.pool_of(pools, pool_name)
    async with volumes.reserved(state, pool_name, source, f'the copy "{copy}"'):
        await ovas.find(state, ova.name)
        await pool.clone(source, names.split_volume(copy)[1], heard)


async def _undone(pools: Mapping[str, Pool], begun: Iterable[str]) -> bool:
    for volume in begun:
        pool, name = names.split_volume(volume)
        try:
            with suppress(NotFound):
                await pools[pool].remove(name)
        except PVCError as exc:
            log.warning('The copy "%s" stays for now: %s', volume, exc)
            return False
    return True


def done(task: Task) -> Task:
    return tasks.done(task, task.args["done"], {"uuid": task.target[1]})


async def is_defined(state: State, task: Task) -> bool:
    """Whether the VM that it was for is there."""
    try:
        await state.vm(task.target[1])
    except NotFound:
        return False
    return True


async def clear(state: State, pools: Mapping[str, Pool], task: Task, here: str) -> bool:
    """Remove the copies that the server of `task` left. Returns whether none is left that nobody else has taken.

    here: the node of this server. Copies in a folder are its own server's to remove, for it alone reaches them.
    """
    try:
        for volume in task.args["copies"].split():
            if not await _cleared(state, pools, volume, own=task.node == here):
                return False
    except (Busy, InUse, PoolUnavailable, Corrupt) as exc:
        log.info('What task "%s" left stays for now: %s', task.id, exc)
        return False
    return True


async def _cleared(state: State, pools: Mapping[str, Pool], volume: str, *, own: bool) -> bool:
    """Raises Busy, PoolUnavailable, Corrupt where a VM might have it; InUse while a pool believes that it is open."""
    pool_name, name = names.split_volume(volume)
    try:
        pool = await volumes.pool_of(pools, pool_name)
    except NotFound:
        return own
    if not (own or pool.capabilities.shared):
        return False
    async with volumes.reserved(state, pool_name, name, "a look for what definitions left"):
        if not await _is_taken(state, pool, name):
            await pool.remove(name)
            log.info('Removed "%s", left by the definition of a VM whose server died', volume)
    return True


async def _is_taken(state: State, pool: Pool, name: str) -> bool:
    """Whether there is no such copy, or somebody made it his own."""
    try:
        await volumes.check_unused(state, f"{pool.name}/{name}")
        return (await pool.volume(name)).snapshots > 0
    except (InUse, NotFound):
        return True
