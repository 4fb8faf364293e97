"""What there is in the cluster and how it is, as one answer needs it, with what is wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pvc import __version__
from pvc.cluster import maintenance
from pvc.cluster.state import Held, MirrorView, Unreadable, View
from pvc.errors import PVCError
from pvc.model import health
from pvc.model.health import Reason
from pvc.model.records import VM, Maintenance
from pvc.model.states import api_state
from pvc.server.nodes import node_objects
from pvc.server.vmview import failed_reason
from pvc.storage.administration import Administration, OSDState
from pvc.storage.base import Statistics

# VMs that are looked at before other requests have their turn.
_TURN = 500


@dataclass(frozen=True, slots=True)
class Looked:
    """One VM. vm: None where its record cannot be read. why: it failed."""

    name: str
    state: str
    why: str
    vm: VM | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """nodes: as the API shows them."""

    nodes: Sequence[Mapping[str, Any]]
    vms: Sequence[Looked]
    networks: int
    working: Maintenance | None

    @property
    def reasons(self) -> list[Reason]:
        return [*_of_nodes(self.nodes), *(reason for one in self.vms for reason in _of_vm(one))]

    @property
    def states(self) -> Counter[str]:
        return Counter(one.state for one in self.vms)


async def census(view: MirrorView) -> Census:
    return Census(
        nodes=await node_objects(view),
        vms=await _looked(view),
        networks=len(await view.networks()),
        working=await maintenance.present(view),
    )


async def _looked(view: View) -> list[Looked]:
    found = []
    for number, item in enumerate(await view.vms(), 1):
        found.append(await _look(view, item))
        if number % _TURN == 0:
            await asyncio.sleep(0)
    return found


async def _look(view: View, item: Held[VM] | Unreadable) -> Looked:
    if isinstance(item, Unreadable):
        return Looked(item.key, "fail", f"Its record cannot be read: {item.reason}")
    vm, observed = item.record, await view.observed(item.record)
    return Looked(vm.name, api_state(vm, observed), failed_reason(vm, observed), vm)


def _of_nodes(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Reason]:
    if not nodes:
        yield health.of_no_nodes()
    for node in nodes:
        yield from health.of_node(
            node["name"],
            [(check["message"], check["health_delta"]) for check in node["health_details"]],
            domain_state=node["domain_state"],
            version=node["pvc_version"],
            ours=__version__,
        )


def _of_vm(one: Looked) -> Iterator[Reason]:
    return health.of_vm(one.name, one.state, one.why)


def of_pool(name: str, seen: Statistics | PVCError) -> list[Reason]:
    """seen: what it told of itself, or why it did not."""
    if isinstance(seen, PVCError):
        return [health.silent("pool", name, str(seen))]
    return list(health.of_pool(name, seen.usage.free, seen.usage.total))


@dataclass(frozen=True, slots=True)
class CephSeen:
    """osds: how many in each state, as "up,in". silent: there is one, and it does not answer."""

    osds: Counter[str]
    reasons: Sequence[Reason] = ()
    silent: bool = False


async def look_at_ceph(ceph: Administration | None) -> CephSeen:
    """What Ceph finds wrong with itself is believed; that an OSD is down is among it."""
    if ceph is None:
        return CephSeen(Counter())
    try:
        osds, checks = await ceph.osd_states(), await ceph.health()
    except PVCError as exc:
        return CephSeen(Counter(), [health.silent("ceph", "", str(exc))], silent=True)
    reasons = [reason for one in checks for reason in health.of_ceph(one.name, one.severity, one.text)]
    return CephSeen(Counter(map(_osd_word, osds.values())), reasons)


def _osd_word(osd: OSDState) -> str:
    return f"{'up' if osd.up else 'down'},{'in' if osd.within else 'out'}"
