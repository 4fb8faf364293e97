"""/network: bridged networks."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import msgspec
from aiohttp import web

from pvc.cluster import networks
from pvc.cluster.state import Unreadable
from pvc.errors import InvalidInput, NotBuilt, NotFound
from pvc.model.records import Network
from pvc.server.limits import matcher
from pvc.server.parse import Nothing, need_name, parameters
from pvc.server.parts import BASE, message
from pvc.server.session import state_of, view_of

routes = web.RouteTableDef()

# What Linux takes as the name of a network interface, and no more.
_BRIDGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")


class NetType(StrEnum):
    MANAGED = "managed"
    BRIDGED = "bridged"


class ListQuery(msgspec.Struct):
    limit: str | None = None


class Add(msgspec.Struct):
    vni: int
    description: str
    nettype: NetType
    mtu: int | None = None
    bridge: str | None = None


@routes.get(f"{BASE}/network")
async def list_networks(request: web.Request) -> web.Response:
    fits = matcher((await parameters(request, ListQuery)).limit)
    shown = [
        _unreadable(item) if isinstance(item, Unreadable) else _object(item.record)
        for item in await (await view_of(request)).networks()
    ]
    shown.sort(key=lambda item: int(item["vni"]))
    return web.json_response([item for item in shown if fits(str(item["vni"])) or fits(item["description"])])


@routes.get(f"{BASE}/network/{{vni}}")
async def get_network(request: web.Request) -> web.Response:
    """A list of one."""
    await parameters(request, Nothing)
    network = await networks.find(await view_of(request), request.match_info["vni"])
    return web.json_response([_object(network)])


@routes.post(f"{BASE}/network")
async def add_network(request: web.Request) -> web.Response:
    given = await parameters(request, Add)
    if given.nettype is not NetType.BRIDGED:
        raise NotBuilt(what="A managed network")
    problems = dict(_problems(given))
    if problems:
        raise InvalidInput(problems)
    need_name("network", given.description, "description")
    bridge = given.bridge or f"vmbr{given.vni}"
    network = Network(vni=given.vni, description=given.description, mtu=given.mtu, bridge=bridge)
    await networks.add(state_of(request), network)
    return message(f'Network "{given.description}" added; its NICs join the bridge "{bridge}" of their node.')


def _problems(given: Add) -> list[tuple[str, str]]:
    found = []
    if not 1 <= given.vni <= 16_777_215:
        found.append(("vni", "must be 1 to 16777215"))
    if given.mtu is not None and not 576 <= given.mtu <= 65_535:
        found.append(("mtu", "must be 576 to 65535"))
    if given.bridge and not _BRIDGE.fullmatch(given.bridge):
        found.append(("bridge", "must be at most 15 letters, digits, dots, dashes or underscores"))
    return found


@routes.delete(f"{BASE}/network/{{vni}}")
async def remove_network(request: web.Request) -> web.Response:
    await parameters(request, Nothing)
    text = request.match_info["vni"]
    if re.fullmatch(r"[0-9]{1,8}", text) is None:
        raise NotFound(kind="network", name=text)
    await networks.remove(state_of(request), int(text))
    return message(f'Network "{int(text)}" removed.')


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
