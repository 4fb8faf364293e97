"""Asking for a VM to go to another node, and the writes of a migration: each one transaction, none twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from pvc.cluster import devices, leftovers, placing, power, tasks, volumes
from pvc.cluster.state import Held, State, View
from pvc.cluster.vms import check_free
from pvc.errors import Changed, Conflict, InvalidInput, NodeUnavailable, NoRoom, NotFound, PVCError
from pvc.model import domain, migration, names, placement
from pvc.model.flushing import FLUSH, UNFLUSH
from pvc.model.migration import MIGRATE, Phase
from pvc.model.placement import Candidate, Wanted
from pvc.model.records import VM, Desired, DomainState, MigrationMethod, Selector, Task, TaskStatus
from pvc.storage.base import Pool
from pvc.units import MIB


class Action(StrEnum):
    """migrate remembers where the VM came from, unmigrate brings it back there, move forgets it."""

    MIGRATE = "migrate"
    UNMIGRATE = "unmigrate"
    MOVE = "move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """node: "" to have one chosen. force: also when the VM was migrated before.

    flush: the task of the node that is emptied, or that gets back what left it then; "" when people ask.
    """

    action: Action
    node: str = ""
    force: bool = False
    force_live: bool = False
    flush: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """task: None when there was nothing to do but to say so, as for a VM that is off. was_here: it had gone before."""

    vm: VM
    node: str
    task: Task | None = None
    was_here: bool = False


async def ask(
    state: State,
    pools: Mapping[str, Pool],
    name: str,
    asked: Asked,
    *,
    default: Selector,
    who: str,
) -> Outcome:
    """Raises Conflict, Busy, NoRoom, InvalidInput, NodeUnavailable before anything is done."""
    held = await state.find_vm(name)
    vm = held.record
    check_free(vm)
    _check_sense(vm, asked)
    method = migration.method_of(vm, force_live=asked.force_live)
    if asked.action is Action.MOVE and asked.node == vm.node and vm.last_node:
        new = replace(vm, last_node="", flushed_from="")
        await state.write_vm(held, new)
        return Outcome(vm=new, node=vm.node, was_here=True)
    await check_storage(pools, vm)
    view = await state.prefetch_nodes(_nodes_in_question(vm, asked))
    alive = devices.may_be_alive(vm, await view.observed(vm))
    wanted = await _wanted(view, vm, method) if alive else Wanted(memory=0, vcpus=0, node_limit=vm.node_limit)
    nodes = await placing.candidates(view, await state.vms())
    target = _target(nodes, vm, asked, default, wanted)
    if not alive:
        return await _reassign(state, held, target, asked)
    await power.check_node(view, vm.node)
    args = {"source": vm.node, "target": target, "method": str(method), "action": str(asked.action)}
    args |= {"flush": asked.flush} if asked.flush else {}
    task = tasks.new(
        state, MIGRATE, ("vm", vm.uuid), vm.name, who=who, node=vm.node, args=args, phase=str(Phase.PREPARE)
    )
    new = migration.under_way(
        vm, task.id, target, action=asked.action, forced_live=asked.force_live, flush=bool(asked.flush)
    )
    try:
        await state.store.commit(tasks.creation(state, task), state.put_vm(held, new))
    except Changed as exc:
        raise Changed(kind="VM", name=vm.name) from exc
    return Outcome(vm=new, node=target, task=task)


def _check_sense(vm: VM, asked: Asked) -> None:
    if asked.action is Action.UNMIGRATE and not _home(vm, asked):
        raise Conflict(kind="VM", name=vm.name, problem="has not been migrated before")
    if asked.action is Action.MIGRATE and vm.last_node and not asked.force:
        problem = f'has been migrated before, from node "{vm.last_node}"; force does it nevertheless'
        raise Conflict(kind="VM", name=vm.name, problem=problem)
    if asked.node == vm.node and not (asked.action is Action.MOVE and vm.last_node):
        raise Conflict(kind="VM", name=vm.name, problem=f'is on node "{vm.node}" already')


async def check_storage(pools: Mapping[str, Pool], vm: VM) -> None:
    """Raises Conflict for a disk that no other node can open."""
    for disk in domain.describe(vm.xml).disks:
        if not disk.volume:
            if disk.source:
                raise Conflict(kind="VM", name=vm.name, problem=f'has "{disk.source}" of its node as a disk')
            continue
        pool = names.split_volume(disk.volume)[0]
        if not (await volumes.pool_of(pools, pool)).capabilities.shared:
            raise volumes.bound(vm, disk.volume, vm.node)


async def _wanted(view: View, vm: VM, method: MigrationMethod) -> Wanted:
    memory, vcpus = placing.size(vm)
    return Wanted(
        memory=memory * MIB,
        vcpus=vcpus,
        node_limit=vm.node_limit,
        live=method is not MigrationMethod.SHUTDOWN,
        no_encryption=(await view.node_status(vm.node)).no_encryption,
    )


def _target(nodes: list[Candidate], vm: VM, asked: Asked, default: Selector, wanted: Wanted) -> str:
    others = [node for node in nodes if node.name != vm.node]
    named = _named(vm, asked)
    if named and asked.flush and asked.action is Action.UNMIGRATE:
        others = [opened(node) if node.name == named else node for node in others]
    if named:
        _check_named(vm, others, named, wanted)
        return named
    chosen = placement.choose(others, wanted, vm.node_selector, default)
    if chosen is None:
        why = placement.explained(others, wanted) or "there is no other"
        raise NoRoom(kind="VM", name=vm.name, problem=f"fits no other node: {why}")
    return chosen


def _nodes_in_question(vm: VM, asked: Asked) -> set[str] | None:
    """None for all that there are."""
    named = _named(vm, asked)
    return {vm.node, named} if named else None


def _named(vm: VM, asked: Asked) -> str:
    return _home(vm, asked) if asked.action is Action.UNMIGRATE else asked.node


def _home(vm: VM, asked: Asked) -> str:
    return vm.flushed_from if asked.flush else vm.last_node


def opened(node: Candidate) -> Candidate:
    """The node as it is for those who come home to it, before it is ready for others."""
    return dataclasses.replace(node, domain_state=DomainState.READY)


def _check_named(vm: VM, others: list[Candidate], name: str, wanted: Wanted) -> None:
    node = next((node for node in others if node.name == name), None)
    if node is None:
        raise InvalidInput({"node": f'names no node of this cluster: "{name}"'})
    if problem := placement.refusal(node, wanted):
        raise NoRoom(kind="VM", name=vm.name, problem=f"cannot go to {name}: {problem}")


async def _reassign(state: State, held: Held[VM], target: str, asked: Asked) -> Outcome:
    """A VM that is off goes without anybody's help, and stays off: one that ended by itself is no longer wanted."""
    vm = held.record
    going = migration.under_way(vm, "", target, action=asked.action, forced_live=False, flush=bool(asked.flush))
    moved = migration.arrived(going, anew=False)
    if moved.desired is Desired.RUNNING:
        moved = replace(moved, desired=Desired.STOPPED)
    await state.write_vm(held, moved)
    return Outcome(vm=moved, node=target)


async def wait(state: State, outcome: Outcome, timeout_s: float) -> Task | None:
    """Return when the VM is there, and runs there if it ran. Raises TaskProblem when it stayed, Timeout."""
    if outcome.task is None:
        return None
    task = await tasks.wait(state, outcome.task.id, timeout_s)
    vm = (await state.vm(outcome.vm.uuid)).record
    if vm.desired is Desired.RUNNING and vm.node == outcome.node and not vm.task:
        await power.wait(state, vm, timeout_s)
    return task


async def cancel(state: State, task_id: str) -> Task:
    """Ask for the end of a task; guests stay where they are, volumes as they were. Raises Conflict."""
    while True:
        held = await state.task(task_id)
        task = held.record
        if problem := _uncancellable(task):
            raise Conflict(kind="task", name=task_id, problem=problem)
        if task.cancel:
            return task
        try:
            await state.store.commit(tasks.writing(state, held, replace(task, cancel=True)))
        except Changed:
            continue
        return task


def _uncancellable(task: Task) -> str:
    if task.status is not TaskStatus.RUNNING:
        return "has ended"
    if task.kind not in (MIGRATE, FLUSH, UNFLUSH, *leftovers.STOPPABLE):
        return f'is of kind "{task.kind}", which cannot be cancelled'
    if task.kind == MIGRATE and task.phase == Phase.SHUTDOWN:
        return "cannot be cancelled any more: the guest has been asked to shut down"
    return ""


# What the agents write. Each returns without writing when the task has ended, or is past that point.


async def proceed(
    state: State,
    uuid: str,
    task_id: str,
    phase: Phase,
    *,
    after: Phase,
    ring: bool = False,
    args: Mapping[str, str] | None = None,
) -> bool:
    """Put the task into `phase`; False where it is past `after`. ring: wake the agents, who watch VMs and not tasks."""

    def change(vm: VM, task: Task) -> tuple[VM | None, Task] | None:
        if task.phase not in (after, phase):
            return None
        return vm if ring else None, replace(task, phase=str(phase), args={**task.args, **(args or {})})

    return await _write(state, uuid, task_id, change)


async def report(state: State, uuid: str, task_id: str, done: int, total: int, figures: dict[str, int]) -> None:
    def change(_vm: VM, task: Task) -> tuple[VM | None, Task]:
        return None, replace(task, done=done, total=total, figures=figures)

    await _write(state, uuid, task_id, change)


async def hand_over(
    state: State, uuid: str, task_id: str, *, result: str, figures: dict[str, int], anew: bool = False
) -> None:
    """Make the VM the target's and end the task. anew: it is to be started there."""

    def change(vm: VM, task: Task) -> tuple[VM | None, Task]:
        ended = replace(tasks.done(task, result), done=task.total, figures=figures)
        return migration.arrived(vm, anew=anew), ended

    await _write(state, uuid, task_id, change)


async def give_up(
    state: State, uuid: str, task_id: str, problem: PVCError, *, anew: bool = False, only_in: Phase | None = None
) -> None:
    """Leave the VM with the source and end the task. anew: its guest is to be started again there."""

    def change(vm: VM, task: Task) -> tuple[VM | None, Task] | None:
        if only_in is not None and task.phase != only_in:
            return None
        ended = tasks.failed(task, problem)
        if task.cancel:
            ended = replace(ended, status=TaskStatus.CANCELLED)
        return migration.stayed(vm, anew=anew), ended

    await _write(state, uuid, task_id, change)


async def _write(
    state: State, uuid: str, task_id: str, change: Callable[[VM, Task], tuple[VM | None, Task] | None]
) -> bool:
    while True:
        try:
            view = await state.prefetch(state.paths.vm(uuid), state.paths.task(task_id))
            vm, task = await view.vm(uuid), await view.task(task_id)
        except NotFound:
            return False
        if vm.record.task != task_id or task.record.status is not TaskStatus.RUNNING:
            return False
        changed = change(vm.record, task.record)
        if changed is None:
            return False
        new_vm, new_task = changed
        writes = [tasks.writing(state, task, new_task)]
        if new_vm is not None:
            writes.append(state.put_vm(vm, new_vm))
        try:
            await state.store.commit(*writes)
        except Changed:
            continue
        return True


def unavailable(node: str) -> NodeUnavailable:
    return NodeUnavailable(name=node, reason="its agent does not answer")
