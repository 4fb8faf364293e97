"""Emptying a node and bringing its VMs home: what is asked, what would happen, and what the node's agent writes.

The node's record names the task that is under way, in the transaction that makes the task; nothing else is held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec.structs import replace

from pvc.cluster import devices, migrations, placing, power, tasks
from pvc.cluster.state import Held, State, Unreadable, View
from pvc.errors import Cancelled, Changed, Conflict, NotFound, PVCError
from pvc.model import flushing
from pvc.model.flushing import FLUSH, UNFLUSH, Leaver, Plan
from pvc.model.migration import MIGRATE
from pvc.model.records import VM, Desired, DomainState, Node, Selector, Task, TaskStatus, encode
from pvc.storage.base import Pool
from pvc.store.base import Operation, Put
from pvc.store.paths import Paths
from pvc.units import MIB


@dataclass(frozen=True, slots=True)
class Concerned:
    """The VMs that a node's flush, or its end, is about.

    busy: a task holds them. ending: their guests are about to end. unreadable: records that may be about it.
    silent: UUIDs of idle ones whose node, another one, does not answer.
    """

    idle: list[VM] = field(default_factory=list)
    busy: list[VM] = field(default_factory=list)
    ending: list[VM] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)

    @property
    def vms(self) -> list[VM]:
        return [*self.idle, *self.busy, *self.ending]

    def told_by(self, paths: Paths, node: str) -> frozenset[str]:
        """The records beside the VMs' own that tell when a wait is over: a guest has ended, or another node's agent did
        or is there again.

        node: whose own agent waits.
        """
        ends = {paths.node_status(vm.node) for vm in self.ending}
        held_up = [*self.busy, *self.ending, *(vm for vm in self.idle if vm.uuid in self.silent)]
        return frozenset(ends | {paths.node_alive(vm.node) for vm in held_up if vm.node != node})


async def concerned(state: State, vms: Sequence[Held[VM] | Unreadable], node: str, kind: str) -> Concerned:
    """FLUSH: the VMs that are the node's or come to it. UNFLUSH: those that its flush took away, or takes just now.

    vms: all there are.
    """
    unreadable = [item for item in vms if isinstance(item, Unreadable)] if kind == FLUSH else []
    readable = [item.record for item in vms if isinstance(item, Held)]
    about = [vm for vm in readable if node in (vm.nodes if kind == FLUSH else vm.taken_from)]
    view = await state.prefetch_nodes({vm.node for vm in about})
    found = Concerned(unreadable=unreadable)
    for vm in about:
        if vm.node != node and not await view.node_alive(vm.node):
            found.silent.add(vm.uuid)
        (await _group(found, view, vm)).append(vm)
    return found


async def _group(found: Concerned, view: View, vm: VM) -> list[VM]:
    """A dead node frees no VM, and ends no guest."""
    if not await view.node_alive(vm.node):
        return found.idle
    if vm.task:
        return found.busy
    ending = vm.desired is not Desired.RUNNING and devices.may_be_alive(vm, await view.observed(vm))
    return found.ending if ending else found.idle


async def ask(state: State, name: str, kind: str, who: str) -> Task | None:
    """Make the task, which the node's agent sees through; the one that is under way already; None if all is so.

    Raises NodeUnavailable where no agent would do it, NotFound.
    """
    while True:
        held = await state.node(name)
        current = await _current(state, held.record)
        if current is not None and current.record.kind == kind and not current.record.cancel:
            return current.record
        about = await concerned(state, await state.vms(), name, kind)
        if current is None and held.record.domain_state == _SETTLED[kind] and not about.vms:
            return None
        await power.check_node(state, name)
        task = tasks.new(state, kind, ("node", name), name, who=who, node=name, phase=kind, total=len(about.vms))
        asked = DomainState.FLUSH if kind == FLUSH else DomainState.UNFLUSH
        writes: list[Operation] = [
            tasks.creation(state, task),
            _put(state, held, replace(held.record, domain_state=asked, task=task.id)),
        ]
        if current is not None:
            writes.append(tasks.writing(state, current, _called_off(current.record, f"; task {task.id} follows it")))
        try:
            await state.store.commit(*writes)
        except Changed:
            continue
        return task


_SETTLED = {FLUSH: DomainState.FLUSHED, UNFLUSH: DomainState.READY}


async def _current(state: State, node: Node) -> Held[Task] | None:
    """The task that the node's record names, while it runs."""
    if not node.task:
        return None
    try:
        held = await state.task(node.task)
    except NotFound:
        return None
    return held if held.record.status is TaskStatus.RUNNING else None


def _put(state: State, held: Held[Node], node: Node) -> Put:
    return Put(state.paths.node(node.name), encode(node), held.version)


def _called_off(task: Task, outlook: str) -> Task:
    what = f'The {"flush" if task.kind == FLUSH else "return of the VMs"} of node "{task.name}"'
    return replace(tasks.failed(task, Cancelled(what=what, outlook=outlook)), status=TaskStatus.CANCELLED)


async def plan(state: State, pools: Mapping[str, Pool], name: str, default: Selector) -> Plan:
    """What a flush would do now. Raises NotFound."""
    await state.node(name)
    about = await concerned(state, await state.vms(), name, FLUSH)
    return await planned(state, pools, name, FLUSH, about.vms, default, {})


async def planned(
    state: State,
    pools: Mapping[str, Pool],
    node: str,
    kind: str,
    vms: list[VM],
    default: Selector,
    tried: Mapping[str, Mapping[str, str]],
) -> Plan:
    view = await state.prefetch_nodes()
    leavers = [await _leaver(view, pools, vm, tried.get(vm.uuid, {})) for vm in vms]
    found = await placing.candidates(view, await state.vms())
    if kind == FLUSH:
        targets = [one for one in found if one.name != node]
    else:
        targets = [migrations.opened(one) for one in found if one.name == node]
    return flushing.plan(leavers, targets, default)


async def _leaver(view: View, pools: Mapping[str, Pool], vm: VM, tried: Mapping[str, str]) -> Leaver:
    running = devices.may_be_alive(vm, await view.observed(vm))
    memory, vcpus = placing.size(vm)
    return Leaver(
        name=vm.name,
        uuid=vm.uuid,
        memory=memory * MIB,
        vcpus=vcpus,
        running=running,
        method=vm.migration_method,
        selector=vm.node_selector,
        node_limit=vm.node_limit,
        stays=await _obstacle(view, pools, vm, running=running),
        no_encryption=(await view.node_status(vm.node)).no_encryption,
        tried=tried,
    )


async def _obstacle(view: View, pools: Mapping[str, Pool], vm: VM, *, running: bool) -> str:
    """Why the VM can go nowhere, whichever node there is; "" when it may."""
    try:
        await migrations.check_storage(pools, vm)
    except PVCError as exc:
        return str(exc).removesuffix(".")
    return (await view.node_doubt(vm.node)).removesuffix(".") if running or vm.task else ""


async def tried(state: State, task_id: str) -> dict[str, dict[str, str]]:
    """Of each VM, by UUID, the nodes that it did not reach in this flush, each with why."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for item in await state.tasks():
        if isinstance(item, Held) and item.record.kind == MIGRATE and item.record.args.get("flush") == task_id:
            ended = item.record
            if ended.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
                found[ended.target[1]][ended.args["target"]] = ended.problem.get("message", "").removesuffix(".")
    return found


# What the node's agent writes. Each returns without writing when the task is no longer the node's.


async def report(state: State, held: Held[Task], left: int) -> None:
    done = max(held.record.total - left, 0)
    if held.record.done == done:
        return
    with suppress(Changed):  # somebody called it off, which the next look sees
        await state.store.commit(tasks.writing(state, held, replace(held.record, done=done)))


async def end(state: State, name: str, task_id: str, left: Mapping[str, str]) -> None:
    """left: the VMs that could not be moved, each with why."""
    while True:
        held = await state.node(name)
        try:
            task = await state.task(task_id)
        except NotFound:
            return
        if held.record.task != task_id or task.record.status is not TaskStatus.RUNNING:
            return
        ended = _ended(task.record, left)
        node = replace(held.record, domain_state=_outcome(ended), task="")
        try:
            await state.store.commit(tasks.writing(state, task, ended), _put(state, held, node))
        except Changed:
            continue
        return


def _outcome(ended: Task) -> DomainState:
    """A node whose flush did not come to its end takes no VMs until it is made ready."""
    if ended.kind == UNFLUSH:
        return DomainState.READY
    return DomainState.FLUSHED if ended.status is TaskStatus.DONE else DomainState.FLUSH


def _ended(task: Task, left: Mapping[str, str]) -> Task:
    task = replace(
        task, done=max(task.total - len(left), 0), figures={"moved": task.total - len(left), "stayed": len(left)}
    )
    if task.cancel:
        outlook = "; it takes no VMs until it is made ready" if task.kind == FLUSH else "; it takes VMs again"
        return replace(_called_off(task, outlook), result=listed(left))
    if not left:
        text = 'Flushed node "{}": it has no VM.' if task.kind == FLUSH else 'Node "{}" is ready, and its VMs are home.'
        return tasks.done(task, text.format(task.name))
    problem = "is not empty" if task.kind == FLUSH else "is ready, but not all of its VMs are home"
    refused = Conflict(kind="node", name=task.name, problem=f"{problem}: {listed(left)}")
    return replace(tasks.failed(task, refused), result=listed(left))


def listed(left: Mapping[str, str]) -> str:
    return "; ".join(f'VM "{name}": {reason}' for name, reason in sorted(left.items()))
