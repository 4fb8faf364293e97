"""Asking for a device to be plugged or unplugged: the configuration and the running guest together, or neither.

A guest that may be alive is its node's: the request becomes a task that holds the VM, and the agent does both halves.
Otherwise the configuration alone is changed, here; compare-and-set keeps a start from slipping between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from enum import StrEnum

from msgspec.structs import replace

from pvc.cluster import arrivals, networks, power, tasks, volumes
from pvc.cluster.state import Held, State
from pvc.cluster.vms import check_free
from pvc.errors import Changed, Conflict, NodeUnavailable, NoRoom, NotFound
from pvc.model import domain
from pvc.model.records import VM, Desired, Observed, Task
from pvc.model.states import is_over

ATTACH, DETACH = arrivals.ATTACH, "detach"


class When(StrEnum):
    """When a change reaches the guest: now, at its next start, or at a start that is asked for with the change."""

    LIVE = "live"
    LATER = "later"
    RESTART = "restart"


async def change(
    state: State, held: Held[VM], action: str, device: str, *, when: When, who: str, timeout_s: float
) -> Task | None:
    """Attach or detach `device` (stored XML). Returns the ended task, or None when only the configuration changed.

    Raises Conflict, InUse, NotFound, NoRoom, Busy, Changed before anything is done; afterwards what the
    agent met, as tasks.TaskProblem.
    """
    vm = held.record
    check_free(vm)
    _check_sense(vm, action, device)
    async with _claimed(state, vm, domain.parse_device(device)) if action == ATTACH else nullcontext():
        task = await _begin(state, held, action, device, when, who)
    return await tasks.wait(state, task.id, timeout_s) if task is not None else None


@asynccontextmanager
async def _claimed(state: State, vm: VM, device: domain.Element) -> AsyncIterator[None]:
    """Nobody else gets the device's volume or MAC meanwhile."""
    async with AsyncExitStack() as claims:
        if volume := domain.volume_of(device):
            await claims.enter_async_context(volumes.claimed(state, vm, [volume]))
        if device.tag == "interface":
            await claims.enter_async_context(networks.claimed(state, vm, [domain.nic(device).mac]))
        yield


async def _begin(state: State, held: Held[VM], action: str, device: str, when: When, who: str) -> Task | None:
    """Change the configuration, or make the task that does."""
    vm = held.record
    observed = await state.observed(vm)
    if when is not When.LIVE or not may_be_alive(vm, observed):
        new = replace(vm, xml=edited(vm.xml, action, device))
        await state.write_vm(held, await power.restarted(state, new) if when is When.RESTART else new)
        return None
    if action == ATTACH and observed.free_slots == 0:
        raise NoRoom(kind="VM", name=vm.name, problem="has no free slot for another device")
    return await entrust(state, held, action, {"device": device}, who)


async def entrust(state: State, held: Held[VM], kind: str, args: dict[str, str], who: str) -> Task:
    """Give the VM's node a task that holds the VM until it has ended. Raises NodeUnavailable, Changed."""
    vm = held.record
    if not await state.node_alive(vm.node):
        raise NodeUnavailable(name=vm.node, reason="its agent does not answer")
    task = tasks.new(state, kind, ("vm", vm.uuid), vm.name, who=who, node=vm.node, args=args)
    try:
        await state.store.commit(tasks.creation(state, task), state.put_vm(held, replace(vm, task=task.id)))
    except Changed as exc:
        raise Changed(kind="VM", name=vm.name) from exc
    return task


def edited(xml: str, action: str, device: str) -> str:
    return domain.with_device(xml, device) if action == ATTACH else domain.without_device(xml, device)


def may_be_alive(vm: VM, observed: Observed) -> bool:
    wanted = vm.desired is Desired.RUNNING and not is_over(vm, observed)
    return wanted or observed.power in power.ALIVE


def _check_sense(vm: VM, action: str, device: str) -> None:
    node = domain.parse_device(device)
    present = domain.find_device(domain.parse(vm.xml), node) is not None
    what = domain.name_of(node)
    kind = {"disk": "disk", "interface": "network interface"}.get(str(node.tag), f'device "{node.tag}"')
    if action == ATTACH and present:
        raise Conflict(kind=kind, name=what, problem=f'is in VM "{vm.name}" already')
    if action == DETACH and not present:
        raise NotFound(kind=f"{kind} of VM", name=f"{vm.name} {what}")
