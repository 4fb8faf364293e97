"""/network: bridged networks."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from aiohttp import web

from pvc.cluster import networks
from pvc.cluster.state import Unreadable
from pvc.errors import InvalidInput, NotBuilt, NotFound
from pvc.model.records import Network
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.parse import Nothing, build
from pvc.server.parts import message
from pvc.server.rules import NetworkName, written
from pvc.server.session import state_of, view_of

endpoints = Endpoints()

_VNI = re.compile(r"[0-9]{1,8}")
# What Linux takes as the name of a network interface, and no more.
_BRIDGE = written(
    re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,14})?"),
    "must be at most 15 letters, digits, dots, dashes or underscores",
)
VNI = Annotated[int, msgspec.Meta(ge=1, le=16_777_215)]
MTU = Annotated[int, msgspec.Meta(ge=576, le=65_535)]


class NetType(StrEnum):
    MANAGED = "managed"
    BRIDGED = "bridged"


class ListQuery(msgspec.Struct):
    limit: Limit | None = None


class AddByVNI(msgspec.Struct, kw_only=True):
    description: NetworkName
    nettype: NetType
    mtu: MTU | None = None
    bridge: Annotated[str, _BRIDGE] | None = None


class ByPath(msgspec.Struct):
    vni: VNI


class Add(AddByVNI, kw_only=True):
    vni: VNI


class Change(msgspec.Struct):
    description: NetworkName | None = None
    mtu: MTU | None = None


@endpoints.get("/network", "Networks.", ListQuery, answer=Answer.LIST)
async def list_networks(request: web.Request, query: ListQuery) -> web.Response:
    fits = matcher(query.limit)
    shown = [
        _unreadable(item) if isinstance(item, Unreadable) else _object(item.record)
        for item in await (await view_of(request)).networks()
    ]
    shown.sort(key=lambda item: int(item["vni"]))
    return web.json_response([item for item in shown if fits(str(item["vni"])) or fits(item["description"])])


@endpoints.get("/network/{vni}", "One network, by VNI or description, as a list of one.", answer=Answer.LIST)
async def get_network(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    network = await networks.find(await view_of(request), request.match_info["vni"])
    return web.json_response([_object(network)])


@endpoints.post("/network", "Add a network.", Add)
async def add_network(request: web.Request, given: Add) -> web.Response:
    return await _add(request, given.vni, given)


@endpoints.post("/network/{vni}", "Add a network.", AddByVNI)
async def add_network_by_vni(request: web.Request, given: AddByVNI) -> web.Response:
    return await _add(request, build(ByPath, {"vni": [request.match_info["vni"]]}, {}).vni, given)


async def _add(request: web.Request, vni: int, given: AddByVNI) -> web.Response:
    if given.nettype is not NetType.BRIDGED:
        raise NotBuilt(what="A managed network")
    bridge = given.bridge or f"vmbr{vni}"
    network = Network(vni=vni, description=given.description, mtu=given.mtu, bridge=bridge)
    await networks.add(state_of(request), network)
    return message(f'Network "{given.description}" added; its NICs join the bridge "{bridge}" of their node.')


@endpoints.put("/network/{vni}", "Change the description or the MTU of a network.", Change)
async def change_network(request: web.Request, given: Change) -> web.Response:
    if given.description is None and given.mtu is None:
        raise InvalidInput({"description": "or mtu must be given", "mtu": "or description must be given"})
    vni = _vni_in(request)
    await networks.modify(state_of(request), vni, description=given.description, mtu=given.mtu)
    return message(f'Network "{vni}" modified.')


def _vni_in(request: web.Request) -> int:
    """Raises NotFound for what is no VNI: a network is changed by its number alone."""
    text = request.match_info["vni"]
    if not _VNI.fullmatch(text):
        raise NotFound(kind="network", name=text)
    return int(text)


@endpoints.delete("/network/{vni}", "Remove a network that no VM joins.")
async def remove_network(request: web.Request, _given: Nothing) -> web.Response:
    vni = _vni_in(request)
    await networks.remove(state_of(request), vni)
    return message(f'Network "{vni}" removed.')


def _object(network: Network) -> dict[str, Any]:
    return {
        "vni": network.vni,
        "description": network.description,
        "type": network.nettype,
        "mtu": "None" if network.mtu is None else str(network.mtu),
        "bridge": network.bridge,
        "domain": "None",
        "name_servers": [],
        "ip4": {"network": "None", "gateway": "None", "dhcp_flag": "False", "dhcp_start": "None", "dhcp_end": "None"},
        "ip6": {"network": "None", "gateway": "None", "dhcp_flag": "False"},
    }


def _unreadable(item: Unreadable) -> dict[str, Any]:
    vni = int(item.key) if item.key.isdigit() else 0
    return {"vni": vni, "description": f"The record cannot be read: {item.reason}", "type": "unknown", "mtu": "None"}
