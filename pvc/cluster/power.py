"""Asking for a VM's state, and waiting until it is true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from pvc.cluster.state import Held, State, View
from pvc.errors import Changed, Conflict, HypervisorRefused, NodeUnavailable, Timeout
from pvc.model.records import VM, Desired, How, Observed, Power
from pvc.model.states import api_state, is_over

ALIVE = (Power.RUNNING, Power.PAUSED, Power.CRASHED)


def asked(vm: VM, observed: Observed, action: str, *, force: bool, deadline_s: float | None) -> VM:
    """The record after `action` (start, shutdown, stop, restart, disable) is asked for.

    Asking for what already holds gives the record as it was. Raises Conflict when the action makes no sense now.
    """
    state = api_state(vm, observed)
    match action:
        case "start" if vm.desired is Desired.RUNNING and not is_over(vm, observed):
            return vm
        case "start":
            return replace(vm, desired=Desired.RUNNING, run=vm.run + 1, how=How.SHUTDOWN, deadline_s=None)
        case "restart" | "shutdown" if state != "start":
            raise Conflict(kind="VM", name=vm.name, problem=f'is in state "{state}", not "start"')
        case "restart":
            return replace(vm, run=vm.run + 1, how=How.SHUTDOWN, deadline_s=deadline_s)
        case "shutdown":
            return replace(vm, desired=Desired.STOPPED, how=How.SHUTDOWN, deadline_s=deadline_s)
        case "stop":
            return replace(vm, desired=Desired.STOPPED, how=How.STOP, deadline_s=None)
        case _:
            pulled = vm.desired is not Desired.RUNNING and vm.how is How.STOP
            how = How.STOP if force or pulled else How.SHUTDOWN
            return replace(vm, desired=Desired.DISABLED, how=how, deadline_s=deadline_s)


async def ask(state: State, name: str, action: str, *, force: bool = False, deadline_s: float | None = None) -> VM:
    """Store what is asked for; the VM's node does it. Tries again when another request came between."""
    while True:
        held = await state.find_vm(name)
        if action in ("start", "restart"):
            await check_node(state, held.record.node)
        new = asked(held.record, await state.observed(held.record), action, force=force, deadline_s=deadline_s)
        if new == held.record:
            return new
        try:
            await state.write_vm(held, new)
        except Changed:
            continue
        return new


async def restarted(state: State, vm: VM) -> VM:
    """`vm` asked for a new run, unless it is meant to be off: its guest is asked to shut down before.

    Raises NodeUnavailable.
    """
    observed = await state.observed(vm)
    if vm.desired is not Desired.RUNNING or (is_over(vm, observed) and not observed.failure):
        return vm
    await check_node(state, vm.node)
    return replace(vm, run=vm.run + 1, how=How.SHUTDOWN, deadline_s=None)


async def check_node(view: View, node: str) -> None:
    """Raises NodeUnavailable when nobody there could start a guest."""
    if not await view.node_alive(node):
        raise NodeUnavailable(name=node, reason="its agent does not answer")
    if problem := (await view.node_status(node)).problem:
        raise NodeUnavailable(name=node, reason=problem)


def settled(vm: VM, observed: Observed) -> bool:
    """Whether what `vm` asks for is so, or has failed for good."""
    if vm.desired is Desired.RUNNING:
        return is_over(vm, observed) or (observed.power in ALIVE and observed.run == vm.run)
    return observed.power is Power.OFF


async def wait(state: State, vm: VM, timeout_s: float) -> VM:
    """Return when the VM is as it was asked to be. Raises HypervisorRefused where it did not start, Timeout."""
    what = f'The {"start" if vm.desired is Desired.RUNNING else "end"} of VM "{vm.name}"'
    held, observed = await watch_until(state, vm, settled, what, timeout_s)
    wanted = vm.desired is Desired.RUNNING
    if wanted and held.record.run == vm.run and observed.over_run == vm.run and observed.failure:
        raise HypervisorRefused(what=f'VM "{vm.name}" did not start', reason=observed.failure)
    return held.record


async def watch_until(
    state: State, vm: VM, true: Callable[[VM, Observed], bool], what: str, timeout_s: float
) -> tuple[Held[VM], Observed]:
    paths = (state.paths.vm(vm.uuid), state.paths.node_status(vm.node))
    observed = Observed()
    try:
        async with asyncio.timeout(timeout_s), state.store.watch(*paths) as watch:
            while True:
                held = await state.vm(vm.uuid)
                observed = await state.observed(held.record)
                if true(held.record, observed):
                    return held, observed
                await watch.wait()
    except TimeoutError as exc:
        why = observed.put_off.removesuffix(".") or f'"pvc node log {vm.node}" says what stands in the way'
        outlook = f" and is still being worked on: {why}"
        raise Timeout(what=what, timeout_s=timeout_s, outlook=outlook) from exc
