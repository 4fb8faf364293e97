"""Growing a volume that a running guest has: its node does it, for only QEMU may touch what it has open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pvc.cluster import devices, volumes
from pvc.cluster.state import Held, State
from pvc.cluster.vms import check_free
from pvc.errors import PoolFull
from pvc.model.records import VM, Task
from pvc.storage.base import Pool, would_shrink

GROW = "grow"

# Pools count in these: a volume never has a part of one.
_BLOCK = 4096


async def entrusted(state: State, pool: Pool, name: str, size: int, who: str) -> Task | None:
    """Have its node grow a volume that a running guest has; None where none has it, or it would not grow.

    Raises Busy, PoolFull, NodeUnavailable.
    """
    async with volumes.reserved(state, pool.name, name, "a change of the volume"):
        user = await _live_user(state, f"{pool.name}/{name}")
        if user is None or size < (await pool.volume(name)).size:
            return None
        return await _begin(state, user, pool, name, size, who)  # it holds the VM, so nobody else gets at the volume


@asynccontextmanager
async def reserved_resizable(
    state: State, pool: Pool, name: str, size: int, *, shrink: bool, holder: str
) -> AsyncIterator[None]:
    """Hold a volume that can have `size` bytes. Raises InUse, Busy, PoolFull, Conflict unless it may shrink."""
    async with volumes.reserved_idle(state, pool, name, holder):
        now, size = (await pool.volume(name)).size, _rounded(size)
        if size < now and not shrink:
            raise would_shrink(f"{pool.name}/{name}", now, size)
        await _check_fits(pool, size)
        yield


async def _live_user(state: State, volume: str) -> Held[VM] | None:
    for vm in await volumes.users(state, volume):
        held = await state.vm(vm.uuid)
        if devices.may_be_alive(held.record, await state.observed(held.record)):
            return held
    return None


async def _begin(state: State, held: Held[VM], pool: Pool, name: str, size: int, who: str) -> Task:
    check_free(held.record)
    await _check_fits(pool, size)
    args = {"volume": f"{pool.name}/{name}", "size": str(_rounded(size))}
    return await devices.entrust(state, held, GROW, args, who)


def _rounded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


async def _check_fits(pool: Pool, size: int) -> None:
    if size > (await pool.usage()).total:
        raise PoolFull(name=pool.name)
