"""Placing VMs: nodes as placement sees them, and the one for a new VM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from pvc.cluster import nodes, volumes
from pvc.cluster.state import Held, State, Unreadable, View
from pvc.errors import InvalidInput, InvalidXML, NodeUnavailable, NoRoom
from pvc.model import domain, placement
from pvc.model.observing import ALIVE
from pvc.model.placement import Candidate, Wanted
from pvc.model.records import VM, Desired, Node, NodeStatus, Observed, Selector
from pvc.storage.base import Pool
from pvc.units import MIB


async def owner(state: State, pools: Mapping[str, Pool], vm: VM, wanted: str | None, here: str) -> str:
    """`here`, whose own pools these are, where no other node can open a volume of `vm`; else "".

    Raises Conflict when another one is wanted, NotFound when that is none.
    """
    own = await volumes.unshared(pools, vm)
    if own and wanted and wanted != here:
        await state.node(wanted)
        raise volumes.bound(vm, own[0], here)
    return here if own else ""


async def choose(state: State, wanted: str | None, vm: VM, default: Selector, only: str = "") -> str:
    """The node for a new VM: the one that is asked for, else the only one there is, else the best one that fits.

    only: the one node that it can be, as `owner` says.
    Raises NotFound, InvalidInput, NodeUnavailable when no agent runs, NoRoom with what each node says.
    """
    if wanted:
        name = (await state.node(wanted)).record.name
        if vm.node_limit and name not in vm.node_limit:
            raise InvalidInput({"node": f'is not among those of "limit": {", ".join(vm.node_limit)}'})
        return name
    memory, vcpus = size(vm)
    need = Wanted(memory=memory * MIB, vcpus=vcpus, node_limit=vm.node_limit)
    everywhere = await candidates(await state.prefetch_nodes(), await state.vms())
    found = [node for node in everywhere if only in ("", node.name)]
    if not any(node.daemon_state == "run" for node in found):
        raise NodeUnavailable(name=only or "any", reason="no agent runs")
    if len(found) == 1 and not need.node_limit:
        return found[0].name  # nothing to choose: whether it fits is a matter of the start
    chosen = placement.choose(found, need, vm.node_selector, default)
    if chosen is None:
        raise NoRoom(kind="VM", name=vm.name, problem=f"fits no node: {placement.explained(found, need)}")
    return chosen


async def candidates(view: View, everyone: Sequence[Held[VM] | Unreadable]) -> list[Candidate]:
    """Every node whose record can be read. everyone: all VMs there are."""
    vms = [held.record for held in everyone if isinstance(held, Held)]
    found = []
    for held in await view.nodes():
        if isinstance(held, Held):
            mine = [vm for vm in vms if held.record.name in vm.nodes]
            found.append(await _candidate(view, held.record, mine))
    return found


async def _candidate(view: View, node: Node, mine: list[VM]) -> Candidate:
    signs = await nodes.signs(view, node)
    status = signs.status
    busy = [size(vm) for vm in mine if takes_memory(vm, status)]
    return Candidate(
        name=node.name,
        daemon_state=signs.daemon_state,
        domain_state=node.domain_state,
        problem=status.problem,
        memory_total=status.memory_total,
        memory_free=status.memory_free,
        memory_reserve=status.memory_reserve,
        allocated=sum(memory for memory, _ in busy) * MIB,
        provisioned=sum(size(vm)[0] for vm in mine) * MIB,
        vcpus=sum(vcpus for _, vcpus in busy),
        cpu_count=status.cpu_count,
        load=status.load,
        vms=len(mine),
        no_live=status.no_live,
        encrypted=status.encrypted,
    )


def takes_memory(vm: VM, status: NodeStatus) -> bool:
    """Whether it runs, or is to run."""
    return vm.desired is Desired.RUNNING or status.vms.get(vm.uuid, Observed()).power in ALIVE


def size(vm: VM) -> tuple[int, int]:
    """Memory (MiB) and vCPUs; nothing for XML that this version cannot read, which the VM itself shows."""
    return _size(vm.xml)


@lru_cache(maxsize=16384)
def _size(xml: str) -> tuple[int, int]:
    try:
        described = domain.describe(xml)
    except InvalidXML:
        return 0, 0
    return described.memory, described.vcpu
