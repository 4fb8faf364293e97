"""Nodes: joining the cluster, showing life, choosing one for a new VM."""

from __future__ import annotations

import logging

from pvc.cluster.state import Held, State
from pvc.errors import AlreadyExists, Changed, NodeUnavailable
from pvc.model.records import Node, NodeStatus, encode
from pvc.store.base import Create, Put

log = logging.getLogger("pvc.cluster")


async def join(state: State, node: Node) -> None:
    """Record the node and its life in this session; waits while an earlier session of that name still lives."""
    path = state.paths.node(node.name)
    await state.store.ensure(path)
    entry = await state.store.get(path)
    await state.store.commit(Put(path, encode(node), entry.version))
    await state.store.ensure(state.paths.node_status(node.name))
    alive = state.paths.node_alive(node.name)
    async with state.store.watch(alive) as watch:
        while True:
            try:
                await state.store.commit(Create(alive, ephemeral=True))
            except AlreadyExists:
                log.warning(
                    'Node "%s" is alive from an earlier session or another machine; waiting for its end', node.name
                )
                await watch.wait()
            else:
                return


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


async def choose(state: State, wanted: str | None) -> str:
    """The node for a new VM: the one named, else the living one with the fewest VMs.

    Raises NotFound, NodeUnavailable.
    """
    if wanted:
        return (await state.node(wanted)).record.name
    counts = {
        held.record.name: 0
        for held in await state.nodes()
        if isinstance(held, Held) and await state.node_alive(held.record.name)
    }
    if not counts:
        raise NodeUnavailable(name="any", reason="no agent runs")
    for vm in await state.vms():
        if isinstance(vm, Held) and vm.record.node in counts:
            counts[vm.record.node] += 1
    return min(sorted(counts), key=lambda name: counts[name])
