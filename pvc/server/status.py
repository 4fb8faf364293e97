"""/status: how the cluster is, and maintenance, in which nothing of that is an alarm."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from pvc import __version__
from pvc.cluster import maintenance
from pvc.cluster.volumes import all_pools
from pvc.errors import PVCError
from pvc.model import health
from pvc.model.health import Reason
from pvc.model.records import Role
from pvc.server.census import Census, census, look_at_ceph, of_pool
from pvc.server.endpoints import Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import CEPH, CONFIG, POOLS, message, who
from pvc.server.session import state_of, view_of
from pvc.storage.base import Pool

endpoints = Endpoints()


class Maintain(msgspec.Struct):
    """state: true for maintenance, false for normal operation."""

    state: bool


@endpoints.get("/status", "How the cluster is.")
async def get_status(request: web.Request, _given: Nothing) -> web.Response:
    found = await census(await view_of(request))
    pools = await asyncio.gather(*map(_of_pool, await all_pools(request.app[POOLS])))
    ceph = await look_at_ceph(request.app[CEPH])
    in_pools = [reason for _volumes, _snapshots, reasons in pools for reason in reasons]
    shown = {
        **_condition(found, [*found.reasons, *in_pools, *ceph.reasons]),
        "node_health": {node["name"]: _node_health(node) for node in found.nodes},
        "primary_node": "none",
        "pvc_version": __version__,
        "upstream_ip": "",
        "mode": "standalone" if request.app[CONFIG].standalone else "cluster",
        "nodes": _counted(Counter(f"{node['daemon_state']},{node['domain_state']}" for node in found.nodes)),
        "vms": _counted(found.states),
        "networks": found.networks,
        "osds": _counted(ceph.osds),
        "pools": len(pools),
        "volumes": sum(volumes for volumes, _snapshots, _reasons in pools),
        "snapshots": sum(snapshots for _volumes, snapshots, _reasons in pools),
    }
    return web.Response(body=msgspec.json.encode(shown), content_type="application/json", charset="utf-8")


@endpoints.post("/status", "Begin or end maintenance, in which nothing is an alarm.", Maintain, role=Role.ADMIN)
async def set_maintenance(request: web.Request, given: Maintain) -> web.Response:
    state, mode = state_of(request), "maintenance" if given.state else "normal"
    changed = await (maintenance.begin(state, who(request)) if given.state else maintenance.end(state))
    if not changed:
        return message(f"Cluster is already in {mode} mode.")
    return message(f"Successfully set cluster in {mode} mode.")


def _condition(found: Census, reasons: Sequence[Reason]) -> dict[str, Any]:
    working = found.working
    return {
        "cluster_health": {"health": health.score(reasons), "messages": [reason.text for reason in reasons]},
        "reasons": reasons,
        "alarm": health.alarm(reasons, maintenance=working is not None),
        "maintenance": "false" if working is None else "true",
        "maintenance_by": "" if working is None else working.who,
        "maintenance_since": None if working is None else working.since,
    }


def _counted(states: Counter[str]) -> dict[str, int]:
    return {"total": states.total(), **states}


def _node_health(node: Mapping[str, Any]) -> dict[str, Any]:
    wrong = [check["message"] for check in node["health_details"] if check["health_delta"]]
    return {"health": node["health"], "messages": wrong}


async def _of_pool(pool: Pool) -> tuple[int, int, list[Reason]]:
    """Its volumes and snapshots, counted, and what is wrong with it."""
    try:
        seen, volumes = await pool.statistics(), await pool.volumes()
    except PVCError as exc:
        return 0, 0, of_pool(pool.name, exc)
    reasons = of_pool(pool.name, seen)
    for one in volumes:
        reasons += health.of_volume(f"{pool.name}/{one.name}", one.problem)
    return len(volumes), sum(one.snapshots for one in volumes), reasons
