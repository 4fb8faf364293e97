"""Volumes seen from the VMs: who uses one, and what may therefore be done with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import lru_cache

from pvc.cluster import arrivals
from pvc.cluster.cutting import cut_off
from pvc.cluster.state import State, Unreadable
from pvc.errors import Busy, Conflict, Corrupt, InUse, NotFound, SessionLost, Unavailable
from pvc.model import domain, names
from pvc.model.records import OVA, VM, Desired
from pvc.model.states import is_over
from pvc.storage.base import Pool, Pools, Volume, kept_by_snapshots, open_elsewhere

_ELSEWHERE = ': remove it through the server there, or forget the VM alone with "pvc vm undefine"'

# Between two questions whether somebody still has a volume open.
_ASK_AGAIN_S = 0.5


async def pool_of(pools: Mapping[str, Pool], name: str) -> Pool:
    """Raises NotFound."""
    if isinstance(pools, Pools):
        await pools.look(name)
    if name not in pools:
        raise NotFound(kind="pool", name=name)
    return pools[name]


async def all_pools(pools: Mapping[str, Pool]) -> list[Pool]:
    """By name; those that were there last where it cannot be found out what is there now, for each says why."""
    if isinstance(pools, Pools):
        with suppress(Unavailable):
            await pools.look()
    return [pools[name] for name in sorted(pools)]


async def users(state: State, volume: str) -> list[VM]:
    """The VMs that have POOL/VOLUME or are about to get it. Raises Corrupt when one cannot be read: it might."""
    return [vm async for vm, has in _had(state) if volume in has]


async def _had(state: State) -> AsyncIterator[tuple[VM, list[str]]]:
    """Every VM with the volumes that it has or is about to get."""
    for vm in [held.record for held in await state.readable_vms()]:
        yield vm, of_vm(vm) + [domain.volume_of(node) for node in await arrivals.arriving(state, vm)]


async def check_no_ova(state: State, volume: str) -> None:
    """Raises InUse when an OVA has the volume, is about to get it, or is being removed with it."""
    for ova in await _ovas(state):
        if any(disk.volume == volume for disk in ova.disks):
            raise InUse(kind="volume", name=volume, user=f'OVA "{ova.name}"')


async def _ovas(state: State) -> list[OVA]:
    """Raises Corrupt when one cannot be read: it might have what the caller asks for."""
    found = []
    for item in await state.ovas():
        if isinstance(item, Unreadable):
            raise Corrupt(kind="OVA", name=item.key, reason=item.reason)
        found.append(item.record)
    return found


async def check_unused(state: State, volume: str) -> None:
    """Raises InUse when a VM, running or not, or an OVA has the volume."""
    await check_no_ova(state, volume)
    for vm in await users(state, volume):
        raise InUse(kind="volume", name=volume, user=f'VM "{vm.name}"')


async def check_pool_unused(state: State, pool: Pool, inside: Iterable[str]) -> None:
    """Raises InUse when a VM, running or not, or an OVA has a volume of it, or anybody has one of `inside` open."""
    for ova in await _ovas(state):
        if any(disk.volume.startswith(f"{pool.name}/") for disk in ova.disks):
            raise InUse(kind="pool", name=pool.name, user=f'OVA "{ova.name}"')
    async for vm, has in _had(state):
        if any(volume.startswith(f"{pool.name}/") for volume in has):
            raise InUse(kind="pool", name=pool.name, user=f'VM "{vm.name}"')
    for name in inside:
        await check_closed(pool, name)


async def check_closed(pool: Pool, name: str) -> None:
    """Raises InUse when anybody has the volume open, NotFound."""
    if await pool.is_open(name):
        raise open_elsewhere(f"{pool.name}/{name}", shared=pool.capabilities.shared)


async def check_idle(state: State, pool: Pool, name: str) -> None:
    """Raises InUse when a VM that has the volume runs, or is asked to, and when an OVA has it."""
    volume = f"{pool.name}/{name}"
    await check_no_ova(state, volume)
    for vm in await users(state, volume):
        observed = await state.observed(vm)
        wanted = vm.desired is Desired.RUNNING and not is_over(vm, observed)
        if wanted or await pool.is_open(name):
            raise InUse(kind="volume", name=volume, user=f'VM "{vm.name}"')


@asynccontextmanager
async def claimed(state: State, vm: VM, added: Iterable[str]) -> AsyncIterator[None]:
    """Hold the volumes that `vm` is about to get: meanwhile no other VM gets one, and none is removed or written.

    Raises Busy, InUse for one that another VM or an OVA has, Conflict for one that `vm` has already.
    """
    async with AsyncExitStack() as holding:
        for volume in sorted(set(added)):
            pool, name = names.split_volume(volume)
            await holding.enter_async_context(reserved(state, pool, name, f'a change of VM "{vm.name}"'))
            await check_no_ova(state, volume)
            for other in await users(state, volume):
                if other.uuid == vm.uuid:
                    raise Conflict(kind="volume", name=volume, problem=f'is in VM "{vm.name}" already')
                raise InUse(kind="volume", name=volume, user=f'VM "{other.name}"')
        yield


async def check_present(pools: Mapping[str, Pool], vm: VM) -> None:
    """Raises NotFound for the first volume of `vm` that is absent."""
    for volume in of_vm(vm):
        pool, name = names.split_volume(volume)
        await (await pool_of(pools, pool)).volume(name)


async def unshared(pools: Mapping[str, Pool], vm: VM) -> list[str]:
    """Those of its volumes that one node alone can open; what has no pool here is not among them."""
    found = []
    for volume in of_vm(vm):
        with suppress(NotFound):
            if not (await pool_of(pools, names.split_volume(volume)[0])).capabilities.shared:
                found.append(volume)
    return found


def bound(vm: VM, volume: str, node: str, advice: str = "") -> Conflict:
    """What keeps `vm` from everywhere but `node`."""
    return Conflict(
        kind="VM", name=vm.name, problem=f'has the volume "{volume}" in a pool that only node "{node}" can open{advice}'
    )


def of_vm(vm: VM) -> list[str]:
    """Every POOL/VOLUME that the VM has."""
    return list(_in_xml(vm.xml))


@lru_cache(maxsize=16384)
def _in_xml(xml: str) -> tuple[str, ...]:
    """Kept, because whoever adds or removes a volume asks for those of all VMs."""
    return tuple(disk.volume for disk in domain.describe(xml).disks if disk.volume)


async def removable(state: State, pools: Mapping[str, Pool], vm: VM, here: str = "") -> list[str]:
    """The volumes that go with `vm`. Raises InUse, Conflict for the first that cannot; absent ones are passed over.

    here: the node whose own pools these are, "" when that does not matter.
    """
    if here not in ("", vm.node):
        for volume in await unshared(pools, vm):
            raise bound(vm, volume, vm.node, _ELSEWHERE)
    found = []
    for volume in set(of_vm(vm)):
        pool, name = names.split_volume(volume)
        for other in await users(state, volume):
            if other.uuid != vm.uuid:
                raise InUse(kind="volume", name=volume, user=f'VM "{other.name}"')
        try:
            entry = await (await pool_of(pools, pool)).volume(name)
        except NotFound:
            continue
        if entry.snapshots:
            raise Conflict(kind="volume", name=volume, problem="has snapshots, so the VM cannot be removed with it")
        found.append(volume)
    return sorted(found)


async def closed(pools: Mapping[str, Pool], found: Iterable[str], timeout_s: float) -> None:
    """Return when nobody has any of these volumes open; absent ones are passed over. Raises InUse after `timeout_s`.

    Ceph does not tell when it gives up somebody who died, so it is asked again and again.
    """
    end = time.monotonic() + timeout_s
    for volume in found:
        pool, name = names.split_volume(volume)
        while await _is_open(await pool_of(pools, pool), name):
            if time.monotonic() > end:
                waited = f"somebody who did not let go of it within {timeout_s:g} s"
                raise InUse(kind="volume", name=volume, user=waited)
            await asyncio.sleep(_ASK_AGAIN_S)


async def _is_open(pool: Pool, name: str) -> bool:
    try:
        return await pool.is_open(name)
    except NotFound:
        return False


@asynccontextmanager
async def reserved(state: State, pool: str, name: str, holder: str) -> AsyncIterator[None]:
    """Hold a volume for an upload or another change of its content. Raises Busy with the present holder."""
    async with held(state, lock_name(pool, name), "volume", f"{pool}/{name}", holder):
        yield


@asynccontextmanager
async def reserved_new(state: State, pool: str, name: str, holder: str) -> AsyncIterator[None]:
    """Hold a volume that is about to come into being. Raises Busy, InUse when an OVA is about to get it."""
    async with reserved(state, pool, name, holder):
        await check_no_ova(state, f"{pool}/{name}")
        yield


@asynccontextmanager
async def reserved_removable(state: State, pool: Pool, name: str, holder: str) -> AsyncIterator[None]:
    """Hold a volume that can be removed. Raises Busy, NotFound, InUse, Conflict for one that has snapshots."""
    async with reserved(state, pool.name, name, holder):
        volume = f"{pool.name}/{name}"
        await check_unused(state, volume)
        if count := (await pool.volume(name)).snapshots:
            raise kept_by_snapshots(volume, count)
        await check_closed(pool, name)
        yield


@asynccontextmanager
async def reserved_idle(state: State, pool: Pool, name: str, holder: str) -> AsyncIterator[None]:
    """Hold a volume whose content nobody uses. Raises Busy, NotFound, InUse."""
    async with reserved(state, pool.name, name, holder):
        await check_idle(state, pool, name)
        await check_closed(pool, name)
        yield


@asynccontextmanager
async def pool_reserved(state: State, name: str, holder: str) -> AsyncIterator[None]:
    """Hold the name of a pool that is made or removed. Raises Busy with the present holder."""
    async with held(state, f"pool.{name}", "pool", name, holder):
        yield


@asynccontextmanager
async def reserved_unused_pool(state: State, pool: Pool, holder: str) -> AsyncIterator[list[Volume]]:
    """Hold a pool that nobody uses, and its volumes, which are yielded. Raises Busy, InUse."""
    async with AsyncExitStack() as holding:
        await holding.enter_async_context(pool_reserved(state, pool.name, holder))
        inside = await pool.volumes()
        readable = [volume.name for volume in inside if not volume.problem]
        for name in readable:
            await holding.enter_async_context(reserved(state, pool.name, name, holder))
        await check_pool_unused(state, pool, readable)
        yield inside


@asynccontextmanager
async def held(state: State, lock: str, kind: str, name: str, holder: str) -> AsyncIterator[None]:
    """Hold `lock` of the object that is named; whoever goes on without it is cut off. Raises Busy, SessionLost."""
    async with AsyncExitStack() as holding:
        try:
            await holding.enter_async_context(state.store.lock(lock, holder))
        except Busy as exc:
            raise Busy(kind=kind, name=name, holder=str(exc.fields["holder"])) from exc
        await holding.enter_async_context(cut_off(state.store.lost.wait, _lost))
        yield


def lock_name(pool: str, name: str) -> str:
    return f"volume.{pool}.{name}"


def _lost() -> SessionLost:
    return SessionLost(reason="its session was lost, and with it the lock")
