"""/node and /status."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from aiohttp import web

from pvc import __version__
from pvc.cluster.state import Held, State, Unreadable
from pvc.errors import InvalidXML, PVCError
from pvc.model import domain
from pvc.model.observing import ALIVE
from pvc.model.records import VM, Node, NodeStatus, Observed
from pvc.model.states import api_state
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import matcher
from pvc.server.parse import Nothing
from pvc.server.parts import CONFIG, POOLS
from pvc.server.session import state_of
from pvc.units import MIB

endpoints = Endpoints()


class ListQuery(msgspec.Struct):
    limit: str | None = None
    daemon_state: str | None = None
    coordinator_state: str | None = None
    domain_state: str | None = None


@endpoints.get("/node", "Nodes.", ListQuery, answer=Answer.LIST)
async def list_nodes(request: web.Request, query: ListQuery) -> web.Response:
    fits = matcher(query.limit)
    shown = [item for item in await _objects(state_of(request)) if fits(item["name"])]
    wanted = [(key, getattr(query, key)) for key in ("daemon_state", "coordinator_state", "domain_state")]
    wanted = [(key, word) for key, word in wanted if word is not None]
    return web.json_response([item for item in shown if not wanted or any(item[key] == word for key, word in wanted)])


@endpoints.get("/node/{node}", "One node, as a list of one.", answer=Answer.LIST)
async def get_node(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    state = state_of(request)
    held = await state.node(request.match_info["node"])
    return web.json_response([await _object(state, held.record, await _vms(state))])


async def _vms(state: State) -> list[VM]:
    return [item.record for item in await state.vms() if isinstance(item, Held)]


async def _objects(state: State) -> list[dict[str, Any]]:
    vms = await _vms(state)
    shown = []
    for item in await state.nodes():
        node = Node(name=item.key) if isinstance(item, Unreadable) else item.record
        shown.append(await _object(state, node, vms))
    return shown


async def _object(state: State, node: Node, vms: list[VM]) -> dict[str, Any]:
    alive = await state.node_alive(node.name)
    status = await state.node_status(node.name)
    mine = [vm for vm in vms if vm.node == node.name]
    running = [vm for vm in mine if status.vms.get(vm.uuid, Observed()).power in ALIVE]
    problem = status.problem if alive else "Its agent does not answer."
    return {
        "name": node.name,
        "daemon_state": "run" if alive else "dead",
        "coordinator_state": "primary" if alive else "hypervisor",
        "domain_state": "ready",
        "pvc_version": node.pvc_version,
        "cpu_count": status.cpu_count,
        "kernel": status.kernel,
        "os": "GNU/Linux",
        "arch": status.arch,
        "domain_type": status.domain_type,
        "domain_type_reason": status.domain_type_reason,
        "libvirt_version": status.libvirt_version,
        "qemu_version": status.qemu_version,
        "health": 0 if problem else 100,
        "health_plugins": [],
        "health_details": [],
        "problem": problem,
        "strays": list(status.strays),
        "load": round(status.load, 2),
        "domains_count": len(running),
        "running_domains": sorted(vm.name for vm in running),
        "vcpu": {"total": status.cpu_count, "allocated": sum(_size(vm)[1] for vm in running)},
        "memory": _memory(status, mine, running),
    }


def _memory(status: NodeStatus, mine: list[VM], running: list[VM]) -> dict[str, int]:
    """MiB. allocated: of the VMs that run; provisioned: of all that live here."""
    return {
        "total": status.memory_total // MIB,
        "allocated": sum(_size(vm)[0] for vm in running),
        "provisioned": sum(_size(vm)[0] for vm in mine),
        "used": (status.memory_total - status.memory_free) // MIB,
        "free": status.memory_free // MIB,
    }


def _size(vm: VM) -> tuple[int, int]:
    """Memory (MiB) and vCPUs; nothing for XML that this version cannot read, which the VM itself shows."""
    try:
        described = domain.describe(vm.xml)
    except InvalidXML:
        return 0, 0
    return described.memory, described.vcpu


@endpoints.get("/status", "How the cluster is.")
async def get_status(request: web.Request, _given: Nothing) -> web.Response:
    state = state_of(request)
    nodes = await _objects(state)
    vms = await state.vms()
    words = [await _word(state, item) for item in vms]
    volumes, snapshots, pool_problems = await _storage(request)
    problems = [f'Node "{node["name"]}": {node["problem"]}' for node in nodes if node["problem"]] + pool_problems
    problems += [f'VM "{name}" is in state "fail".' for name, word in words if word == "fail"]
    shown = {
        "cluster_health": {"health": max(0, 100 - 25 * len(problems)), "messages": problems},
        "node_health": {
            node["name"]: {"health": node["health"], "messages": [node["problem"]] if node["problem"] else []}
            for node in nodes
        },
        "maintenance": "false",
        "primary_node": next((node["name"] for node in nodes if node["daemon_state"] == "run"), "none"),
        "pvc_version": __version__,
        "upstream_ip": "",
        "mode": "standalone" if request.app[CONFIG].standalone else "cluster",
        "nodes": {"total": len(nodes), **Counter(f"{node['daemon_state']},{node['domain_state']}" for node in nodes)},
        "vms": {"total": len(vms), **Counter(word for _name, word in words)},
        "networks": len(await state.networks()),
        "osds": {"total": 0},
        "pools": len(request.app[POOLS]),
        "volumes": volumes,
        "snapshots": snapshots,
    }
    return web.json_response(shown)


async def _word(state: State, item: Held[VM] | Unreadable) -> tuple[str, str]:
    if isinstance(item, Unreadable):
        return item.key, "fail"
    return item.record.name, api_state(item.record, await state.observed(item.record))


async def _storage(request: web.Request) -> tuple[int, int, list[str]]:
    """Volumes, snapshots, and what is wrong with pools."""
    count, snapshots, problems = 0, 0, []
    for pool in request.app[POOLS].values():
        try:
            volumes = await pool.volumes()
        except PVCError as exc:
            problems.append(str(exc))
            continue
        count += len(volumes)
        snapshots += sum(volume.snapshots for volume in volumes)
        problems += [f'Volume "{pool.name}/{one.name}": {one.problem}' for one in volumes if one.problem]
    return count, snapshots, problems
