"""Growing a volume that a running guest has: its node does it, for only QEMU may touch what it has open."""

from __future__ import annotations

from pvc.cluster import devices, tasks, volumes
from pvc.cluster.state import Held, State
from pvc.cluster.vms import check_free
from pvc.errors import PoolFull
from pvc.model.records import VM, Task
from pvc.storage.base import Pool

GROW = "grow"

# Pools count in these: a volume never has a part of one.
_BLOCK = 4096


async def resize(state: State, pool: Pool, name: str, size: int, *, shrink: bool, who: str, timeout_s: float) -> int:
    """Resize a volume, in the running guest too when one has it; returns the size that it has then.

    Raises InUse for one that would shrink while its VM runs, Conflict, PoolFull, Busy, NodeUnavailable; what the
    agent met, as tasks.TaskProblem.
    """
    async with volumes.reserved(state, pool.name, name, "a change of the volume"):
        user = await _live_user(state, f"{pool.name}/{name}")
        if user is None or size < (await pool.volume(name)).size:
            await volumes.check_idle(state, pool, name)
            return (await pool.resize(name, size, shrink=shrink)).size
        task = await _begin(state, user, pool, name, size, who)
    await tasks.wait(state, task.id, timeout_s)  # it holds the VM, so nobody else starts it or gets at the volume
    return (await pool.volume(name)).size


async def _live_user(state: State, volume: str) -> Held[VM] | None:
    for vm in await volumes.users(state, volume):
        held = await state.vm(vm.uuid)
        if devices.may_be_alive(held.record, await state.observed(held.record)):
            return held
    return None


async def _begin(state: State, held: Held[VM], pool: Pool, name: str, size: int, who: str) -> Task:
    check_free(held.record)
    if size > (await pool.usage()).total:
        raise PoolFull(name=pool.name)
    rounded = -(-size // _BLOCK) * _BLOCK
    return await devices.entrust(state, held, GROW, {"volume": f"{pool.name}/{name}", "size": str(rounded)}, who)
