"""The target's part in a migration: short acts, each decided anew from what is true."""

from __future__ import annotations

import asyncio

from pvc.agent import bridges, transport, words
from pvc.agent.steps import Hands, stop
from pvc.cluster import migrations, volumes
from pvc.errors import Conflict, HypervisorUnavailable, PVCError, StoreUnavailable
from pvc.hypervisor.base import Seen
from pvc.model import domain, migration, names
from pvc.model.migration import Here, Phase, Receive
from pvc.model.records import VM, Power, Task


async def due(hands: Hands, vm: VM, task: Task, seen: Seen | None) -> Receive:
    """What the target owes the VM that is on its way to it. task: as it was before the look that `seen` is of."""
    job = seen is not None and await hands.hypervisor.copy(vm.uuid) is not None
    return migration.receiving(vm, task, Here(power=seen.power if seen is not None else Power.OFF, job=job))


async def receive(hands: Hands, vm: VM, task: Task, act: Receive, seen: Seen | None) -> None:
    match act:
        case Receive.PREPARE:
            await _prepare(hands, vm, task, seen)
        case Receive.TAKE_OVER:
            await _take_over(hands, vm, task)
        case Receive.RESUME_AND_TAKE_OVER:
            await hands.hypervisor.resume(vm.uuid)
            await _take_over(hands, vm, task)
        case Receive.CLEAR:
            await stop(hands, vm.uuid)
        case Receive.SAY_ABSENT:
            await migrations.proceed(hands.state, vm.uuid, task.id, Phase.RETURNED, after=Phase(task.phase))
        case Receive.WAIT:
            return


async def _prepare(hands: Hands, vm: VM, task: Task, seen: Seen | None) -> None:
    """See to all that the guest needs here, and say where it is to come; or say what is missing."""
    log = hands.console_log(vm.uuid)
    try:
        _check_absent(hands, vm, seen)
        await _check_reachable(hands, task)
        await migrations.check_storage(hands.pools, vm)
        await bridges.check(hands.settings, domain.describe(vm.xml).nics)
        await _open_volumes(hands, vm)
        await asyncio.to_thread(log.parent.mkdir, mode=0o711, parents=True, exist_ok=True)
    except (StoreUnavailable, HypervisorUnavailable):
        raise
    except PVCError as exc:
        await migrations.give_up(hands.state, vm.uuid, task.id, exc, only_in=Phase.PREPARE)
        return
    args = {"uri": hands.settings.migration_uri, "console_log": str(log)}
    await migrations.proceed(hands.state, vm.uuid, task.id, Phase.READY, after=Phase.PREPARE, args=args)


def _check_absent(hands: Hands, vm: VM, seen: Seen | None) -> None:
    if seen is not None:
        problem = f'runs on node "{hands.settings.node}" too, where it does not belong; somebody must look there'
        raise Conflict(kind="VM", name=vm.name, problem=problem)


async def _check_reachable(hands: Hands, task: Task) -> None:
    if migration.may_live(task):
        await transport.check_arrivals(hands.settings, hands.qemu_user)


async def _open_volumes(hands: Hands, vm: VM) -> None:
    for volume in volumes.of_vm(vm):
        pool, name = names.split_volume(volume)
        await (await volumes.pool_of(hands.pools, pool)).volume(name)
    await hands.give_secrets(volumes.of_vm(vm))


async def _take_over(hands: Hands, vm: VM, task: Task) -> None:
    figures = words.figures(await hands.hypervisor.last_copy(vm.uuid))
    result = words.moved(vm.name, hands.settings.node, figures)
    await migrations.hand_over(hands.state, vm.uuid, task.id, result=result, figures=figures)


async def clear(hands: Hands, uuid: str) -> None:
    """End what was left here of a guest that runs elsewhere, unless libvirt is still at moving it."""
    if await hands.hypervisor.copy(uuid) is None:
        await stop(hands, uuid)
