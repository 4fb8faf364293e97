"""/node and /status."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from aiohttp import web

from pvc import __version__
from pvc.cluster import nodes
from pvc.cluster.state import Held, Unreadable, View
from pvc.cluster.volumes import all_pools
from pvc.errors import PVCError
from pvc.model.records import VM, Node, Role
from pvc.model.states import api_state
from pvc.server import osds
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import matcher
from pvc.server.nodeview import node_object
from pvc.server.parse import Nothing
from pvc.server.parts import CONFIG, POOLS, message
from pvc.server.session import state_of, view_of

endpoints = Endpoints()


class ListQuery(msgspec.Struct):
    limit: str | None = None
    daemon_state: str | None = None
    coordinator_state: str | None = None
    domain_state: str | None = None


@endpoints.get("/node", "Nodes.", ListQuery, answer=Answer.LIST)
async def list_nodes(request: web.Request, query: ListQuery) -> web.Response:
    fits = matcher(query.limit)
    shown = [item for item in await _objects(await view_of(request)) if fits(item["name"])]
    wanted = [(key, getattr(query, key)) for key in ("daemon_state", "coordinator_state", "domain_state")]
    wanted = [(key, word) for key, word in wanted if word is not None]
    return web.json_response([item for item in shown if not wanted or any(item[key] == word for key, word in wanted)])


@endpoints.get("/node/{node}", "One node, as a list of one.", answer=Answer.LIST)
async def get_node(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    return web.json_response([await _one(await view_of(request), request.match_info["node"])])


@endpoints.delete("/node/{node}", "Forget a node that left for good.", role=Role.ADMIN)
async def remove_node(request: web.Request, _given: Nothing) -> web.Response:
    name = request.match_info["node"]
    await nodes.remove(state_of(request), name)
    return message(f'Removed node "{name}" from the cluster.')


@endpoints.get("/node/{node}/daemon-state", "What a node's agent does.")
@endpoints.get("/node/{node}/coordinator-state", "Whether a node coordinates others: none does.")
@endpoints.get("/node/{node}/domain-state", "What a node's VMs are to do.")
async def get_node_state(request: web.Request, _given: Nothing) -> web.Response:
    field = request.path.rpartition("/")[2].replace("-", "_")
    shown = await _one(await view_of(request), request.match_info["node"])
    return web.json_response({"name": shown["name"], field: shown[field]})


async def _one(state: View, name: str) -> dict[str, Any]:
    await state.node_entry(name)
    return next(shown for shown in await _objects(state, name) if shown["name"] == name)


async def _objects(state: View, only: str | None = None) -> list[dict[str, Any]]:
    """Every node, or `only` that one."""
    vms = [item.record for item in await state.vms() if isinstance(item, Held)]
    shown = []
    for item in await state.nodes():
        node, problem = (Node(name=item.key), item.reason) if isinstance(item, Unreadable) else (item.record, "")
        if only in (None, node.name):
            mine = [vm for vm in vms if vm.node == node.name]
            shown.append(node_object(await nodes.signs(state, node), mine, problem))
    return shown


@endpoints.get("/status", "How the cluster is.")
async def get_status(request: web.Request, _given: Nothing) -> web.Response:
    state = await view_of(request)
    found = await _objects(state)
    vms = await state.vms()
    words = [await _word(state, item) for item in vms]
    volumes, snapshots, pool_problems = await _storage(request)
    osd_counts, osd_problems = await osds.counted(request)
    pool_problems += osd_problems
    problems = [f'Node "{node["name"]}": {node["problem"]}' for node in found if node["problem"]] + pool_problems
    problems += [f'VM "{name}" is in state "fail".' for name, word in words if word == "fail"]
    shown = {
        "cluster_health": {"health": max(0, 100 - 25 * len(problems)), "messages": problems},
        "node_health": {
            node["name"]: {"health": node["health"], "messages": [node["problem"]] if node["problem"] else []}
            for node in found
        },
        "maintenance": "false",
        "primary_node": "none",
        "pvc_version": __version__,
        "upstream_ip": "",
        "mode": "standalone" if request.app[CONFIG].standalone else "cluster",
        "nodes": {"total": len(found), **Counter(f"{node['daemon_state']},{node['domain_state']}" for node in found)},
        "vms": {"total": len(vms), **Counter(word for _name, word in words)},
        "networks": len(await state.networks()),
        "osds": osd_counts,
        "pools": len(request.app[POOLS]),
        "volumes": volumes,
        "snapshots": snapshots,
    }
    return web.json_response(shown)


async def _word(state: View, item: Held[VM] | Unreadable) -> tuple[str, str]:
    if isinstance(item, Unreadable):
        return item.key, "fail"
    return item.record.name, api_state(item.record, await state.observed(item.record))


async def _storage(request: web.Request) -> tuple[int, int, list[str]]:
    """Volumes, snapshots, and what is wrong with pools."""
    count, snapshots, problems = 0, 0, []
    for pool in await all_pools(request.app[POOLS]):
        try:
            volumes = await pool.volumes()
        except PVCError as exc:
            problems.append(str(exc))
            continue
        count += len(volumes)
        snapshots += sum(volume.snapshots for volume in volumes)
        problems += [f'Volume "{pool.name}/{one.name}": {one.problem}' for one in volumes if one.problem]
    return count, snapshots, problems
