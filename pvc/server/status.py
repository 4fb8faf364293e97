"""/status: how the cluster is, and maintenance, in which nothing of that is an alarm."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from pvc import __version__
from pvc.cluster import maintenance
from pvc.cluster.state import Held, Unreadable, View
from pvc.cluster.volumes import all_pools
from pvc.errors import PVCError
from pvc.model import health
from pvc.model.health import Reason
from pvc.model.records import VM, Role
from pvc.model.states import api_state
from pvc.server.endpoints import Endpoints
from pvc.server.nodes import node_objects
from pvc.server.parse import Nothing
from pvc.server.parts import CEPH, CONFIG, POOLS, message, who
from pvc.server.session import state_of, view_of
from pvc.server.vmview import failed_reason
from pvc.storage.administration import Administration, OSDState
from pvc.storage.base import Pool

endpoints = Endpoints()


class Maintain(msgspec.Struct):
    """state: true for maintenance, false for normal operation."""

    state: bool


@dataclass(frozen=True, slots=True)
class Storage:
    """As it was looked at for one answer. volumes, snapshots: of the pools that answered."""

    pools: int
    volumes: int
    snapshots: int
    osds: Mapping[int, OSDState]
    reasons: Sequence[Reason]


@endpoints.get("/status", "How the cluster is.")
async def get_status(request: web.Request, _given: Nothing) -> web.Response:
    view = await view_of(request)
    nodes, vms = await node_objects(view), await view.vms()
    seen = [await _seen(view, item) for item in vms]
    working = await maintenance.present(view)
    networks = len(await view.networks())
    storage = await _storage(await all_pools(request.app[POOLS]), request.app[CEPH])
    reasons = [*_of_nodes(nodes), *_of_vms(seen), *storage.reasons]
    shown = {
        "cluster_health": {"health": health.score(reasons), "messages": [reason.text for reason in reasons]},
        "node_health": {node["name"]: _node_health(node) for node in nodes},
        "reasons": reasons,
        "alarm": health.alarm(reasons, maintenance=working is not None),
        "maintenance": "false" if working is None else "true",
        "maintenance_by": "" if working is None else working.who,
        "maintenance_since": None if working is None else working.since,
        "primary_node": "none",
        "pvc_version": __version__,
        "upstream_ip": "",
        "mode": "standalone" if request.app[CONFIG].standalone else "cluster",
        "nodes": {"total": len(nodes), **Counter(f"{node['daemon_state']},{node['domain_state']}" for node in nodes)},
        "vms": {"total": len(vms), **Counter(state for _name, state, _why in seen)},
        "networks": networks,
        "osds": {"total": len(storage.osds), **Counter(map(_osd_word, storage.osds.values()))},
        "pools": storage.pools,
        "volumes": storage.volumes,
        "snapshots": storage.snapshots,
    }
    return web.Response(body=msgspec.json.encode(shown), content_type="application/json", charset="utf-8")


@endpoints.post("/status", "Begin or end maintenance, in which nothing is an alarm.", Maintain, role=Role.ADMIN)
async def set_maintenance(request: web.Request, given: Maintain) -> web.Response:
    state, mode = state_of(request), "maintenance" if given.state else "normal"
    changed = await (maintenance.begin(state, who(request)) if given.state else maintenance.end(state))
    if not changed:
        return message(f"Cluster is already in {mode} mode.")
    return message(f"Successfully set cluster in {mode} mode.")


async def _seen(view: View, item: Held[VM] | Unreadable) -> tuple[str, str, str]:
    """Name, state and why it failed."""
    if isinstance(item, Unreadable):
        return item.key, "fail", f"Its record cannot be read: {item.reason}"
    observed = await view.observed(item.record)
    return item.record.name, api_state(item.record, observed), failed_reason(item.record, observed)


def _of_nodes(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Reason]:
    for node in nodes:
        yield from health.of_node(
            node["name"],
            [(check["message"], check["health_delta"]) for check in node["health_details"]],
            domain_state=node["domain_state"],
            version=node["pvc_version"],
            ours=__version__,
        )


def _of_vms(seen: Sequence[tuple[str, str, str]]) -> Iterator[Reason]:
    for name, state, why in seen:
        yield from health.of_vm(name, state, why)


def _node_health(node: Mapping[str, Any]) -> dict[str, Any]:
    wrong = [check["message"] for check in node["health_details"] if check["health_delta"]]
    return {"health": node["health"], "messages": wrong}


async def _storage(pools: Sequence[Pool], ceph: Administration | None) -> Storage:
    found = await asyncio.gather(*map(_of_pool, pools))
    osds, wrong = await _of_ceph(ceph)
    return Storage(
        pools=len(pools),
        volumes=sum(volumes for volumes, _snapshots, _reasons in found),
        snapshots=sum(snapshots for _volumes, snapshots, _reasons in found),
        osds=osds,
        reasons=[*(reason for _volumes, _snapshots, reasons in found for reason in reasons), *wrong],
    )


async def _of_pool(pool: Pool) -> tuple[int, int, list[Reason]]:
    """Its volumes and snapshots, counted, and what is wrong with it."""
    try:
        usage, volumes = await pool.usage(), await pool.volumes()
    except PVCError as exc:
        return 0, 0, [health.silent("pool", pool.name, str(exc))]
    reasons = list(health.of_pool(pool.name, usage.free, usage.total))
    for one in volumes:
        reasons += health.of_volume(f"{pool.name}/{one.name}", one.problem)
    return len(volumes), sum(one.snapshots for one in volumes), reasons


async def _of_ceph(ceph: Administration | None) -> tuple[Mapping[int, OSDState], list[Reason]]:
    """Its OSDs, and what it finds wrong with itself; Ceph's checks speak of OSDs that are down."""
    if ceph is None:
        return {}, []
    try:
        osds, checks = await ceph.osd_states(), await ceph.health()
    except PVCError as exc:
        return {}, [health.silent("ceph", "", str(exc))]
    return osds, [reason for one in checks for reason in health.of_ceph(one.name, one.severity, one.text)]


def _osd_word(osd: OSDState) -> str:
    return f"{'up' if osd.up else 'down'},{'in' if osd.within else 'out'}"
