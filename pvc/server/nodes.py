"""/node."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from pvc.cluster import nodes
from pvc.cluster.state import Held, Unreadable, View
from pvc.model.records import Node, Role
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.nodeview import node_object
from pvc.server.parse import Nothing
from pvc.server.parts import message
from pvc.server.session import state_of, view_of

endpoints = Endpoints()


class ListQuery(msgspec.Struct):
    limit: Limit | None = None
    daemon_state: str | None = None
    coordinator_state: str | None = None
    domain_state: str | None = None


@endpoints.get("/node", "Nodes.", ListQuery, answer=Answer.LIST)
async def list_nodes(request: web.Request, query: ListQuery) -> web.Response:
    fits = matcher(query.limit)
    shown = [item for item in await node_objects(await view_of(request)) if fits(item["name"])]
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
    return next(shown for shown in await node_objects(state, name) if shown["name"] == name)


async def node_objects(state: View, only: str | None = None) -> list[dict[str, Any]]:
    """Every node, or `only` that one."""
    vms = [item.record for item in await state.vms() if isinstance(item, Held)]
    shown = []
    for item in await state.nodes():
        node, problem = (Node(name=item.key), item.reason) if isinstance(item, Unreadable) else (item.record, "")
        if only in (None, node.name):
            mine = [vm for vm in vms if vm.node == node.name]
            shown.append(node_object(await nodes.signs(state, node), mine, problem))
    return shown
