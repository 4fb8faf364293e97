"""Nodes: joining the cluster and leaving it, showing life, being forgotten.

One machine bears a node's name at a time, and says when it ends in order.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from msgspec.structs import replace

from pvc.cluster import tasks
from pvc.cluster.state import State, View
from pvc.errors import AlreadyExists, Changed, Conflict, Corrupt, InUse, NotFound
from pvc.model.noding import Signs
from pvc.model.records import DaemonState, Node, NodeStatus, TaskStatus, Waiting, decode, encode
from pvc.store.base import Create, Delete, Entry, Operation, Put

log = logging.getLogger("pvc.cluster")


async def join(state: State, node: Node, replaces: str = "") -> None:
    """Record the node and its life in this session.

    Waits, and is seen to wait, while an earlier session of that name lives, and while the name is another machine's,
    whose guests may run, agent or not. replaces: a machine of which somebody knows that it is off.
    """
    paths = state.paths
    told = False
    async with state.store.watch(paths.node_alive(node.name), paths.node(node.name)) as watch:
        while True:
            before = await _before(state, node.name)
            if reason := _obstacle(before, node, replaces):
                log.warning('Node "%s" waits because %s', node.name, reason)
                told = await _show_waiting(state, node, reason, told=told)
                await watch.wait()
            elif await _enter(state, before, node):
                break
    if told:
        await _show_no_more(state, node.name)


async def leave(state: State, name: str) -> None:
    """Say that the node ended in order, and end its life in this session. Raises what the store says."""
    status, alive = await state.store.get_many([state.paths.node_status(name), state.paths.node_alive(name)])
    if status is None or alive is None:
        return
    last = replace(await state.node_status(name), daemon=DaemonState.STOP)
    await state.store.commit(
        Put(state.paths.node_status(name), encode(last), status.version),
        Delete(state.paths.node_alive(name), alive.version),
    )


@dataclass(frozen=True, slots=True)
class _Before:
    """What an earlier agent left. record: None when there is none that can be read."""

    node: Entry | None
    status: Entry | None
    alive: bool
    record: Node | None
    last: NodeStatus


async def _before(state: State, name: str) -> _Before:
    paths = state.paths
    node, status, alive = await state.store.get_many(
        [paths.node(name), paths.node_status(name), paths.node_alive(name)]
    )
    return _Before(node, status, alive is not None, _readable(node, name), await state.node_status(name))


def _readable(entry: Entry | None, name: str) -> Node | None:
    try:
        return decode(Node, entry.value, name) if entry is not None else None
    except Corrupt as exc:
        log.warning("%s; it is written anew", exc)
        return None


def _obstacle(before: _Before, node: Node, replaces: str) -> str:
    """Why `node` may not be it now, "" when it may."""
    owner = before.record.machine if before.record is not None else ""
    if before.alive:
        return (
            f'machine "{owner}" is this node and alive' if owner != node.machine else "its last session has not ended"
        )
    if owner in ("", node.machine, replaces):
        return ""
    return f'machine "{owner}" is this node, and its guests may run; agent.replaces = "{owner}" says that it is off'


async def _enter(state: State, before: _Before, node: Node) -> bool:
    """Whether it came about: another agent may have been faster."""
    paths, known = state.paths, before.record
    record = replace(node, domain_state=known.domain_state, task=known.task) if known is not None else node
    status = replace(before.last, daemon=DaemonState.INIT)
    try:
        await state.store.commit(
            _write(paths.node(node.name), encode(record), before.node),
            _write(paths.node_status(node.name), encode(status), before.status),
            Create(paths.node_alive(node.name), ephemeral=True),
        )
    except (AlreadyExists, Changed, NotFound):
        return False
    return True


def _write(path: str, value: bytes, before: Entry | None) -> Operation:
    return Create(path, value) if before is None else Put(path, value, before.version)


async def _show_waiting(state: State, node: Node, reason: str, *, told: bool) -> bool:
    """Whether it is us who are seen to wait: another one may have been there before."""
    path, value = state.paths.node_waiting(node.name), encode(Waiting(machine=node.machine, reason=reason))
    [entry] = await state.store.get_many([path])
    if entry is not None and not told:
        return False
    try:
        await state.store.commit(
            Create(path, value, ephemeral=True) if entry is None else Put(path, value, entry.version)
        )
    except (AlreadyExists, Changed, NotFound):
        return False
    return True


async def _show_no_more(state: State, name: str) -> None:
    path = state.paths.node_waiting(name)
    [entry] = await state.store.get_many([path])
    if entry is not None:
        await state.store.commit(Delete(path, entry.version))


async def signs(view: View, node: Node) -> Signs:
    return Signs(
        node=node,
        waiting=await view.node_waiting(node.name),
        alive=await view.node_alive(node.name),
        status=await view.node_status(node.name),
    )


async def publish(state: State, name: str, status: NodeStatus) -> None:
    """Write the node's blob; only its agent does, so a version in between is our own, cut off, write."""
    path = state.paths.node_status(name)
    while True:
        entry = await state.store.get(path)
        try:
            await state.store.commit(Put(path, encode(status), entry.version))
        except Changed:
            continue
        return


async def remove(state: State, name: str) -> None:
    """Forget a node that left for good. Raises Conflict while it lives, InUse while VMs belong to it."""
    node = await state.node_entry(name)
    if await state.node_alive(name):
        raise Conflict(kind="node", name=name, problem="is alive: end its agent first")
    await _check_empty(state, name)
    rest = [state.paths.node_waiting(name), state.paths.node_status(name)]
    found = zip(rest, await state.store.get_many(rest), strict=True)
    below = [Delete(path, entry.version) for path, entry in found if entry is not None]
    try:
        await state.store.commit(
            *below, *await _ended_task(state, node, name), Delete(state.paths.node(name), node.version)
        )
    except (Conflict, NotFound) as exc:
        raise Changed(kind="node", name=name) from exc
    try:
        await _check_empty(state, name)
    except (InUse, Corrupt):  # a VM came to it meanwhile
        await state.store.commit(Create(state.paths.node(name), node.value))
        raise


async def _ended_task(state: State, node: Entry, name: str) -> list[Operation]:
    """The end of what the node's agent was to see through."""
    record = _readable(node, name)
    try:
        held = await state.task(record.task) if record is not None and record.task else None
    except NotFound:
        return []
    if held is None or held.record.status is not TaskStatus.RUNNING:
        return []
    return [tasks.writing(state, held, tasks.failed(held.record, NotFound(kind="node", name=name)))]


async def _check_empty(state: State, name: str) -> None:
    owned = sorted(held.record.name for held in await state.readable_vms() if name in held.record.nodes)
    if owned:
        raise InUse(kind="node", name=name, user=", ".join(f'VM "{vm}"' for vm in owned))
