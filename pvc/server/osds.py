"""/storage/ceph/osd: the daemons that hold Ceph's data."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from aiohttp import web

from pvc.errors import NotFound
from pvc.model.records import Role
from pvc.server.cephstatus import ceph_of
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.parse import Nothing
from pvc.server.parts import CEPH, message
from pvc.storage.administration import OSD

endpoints = Endpoints()


class ListQuery(msgspec.Struct):
    limit: Limit | None = None


class Place(StrEnum):
    IN = "in"
    OUT = "out"


class State(msgspec.Struct):
    state: Place


@endpoints.get("/storage/ceph/osd", "OSDs.", ListQuery, answer=Answer.LIST)
async def list_osds(request: web.Request, query: ListQuery) -> web.Response:
    """Without Ceph there are none."""
    fits = matcher(query.limit)
    ceph = request.app[CEPH]
    found = [] if ceph is None else await ceph.osds()
    return web.json_response([_object(osd) for osd in found if fits(str(osd.id))])


@endpoints.get("/storage/ceph/osd/{osd}", "One OSD, as a list of one.", answer=Answer.LIST)
async def get_osd(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    ceph = ceph_of(request)
    number = _number_in(request)
    found = [_object(osd) for osd in await ceph.osds() if osd.id == number]
    if not found:
        raise NotFound(kind="OSD", name=str(number))
    return web.json_response(found)


def _object(osd: OSD) -> dict[str, Any]:
    return {
        "id": str(osd.id),
        "node": osd.node,
        "device": osd.device,
        "db_device": osd.db_device,
        "stats": dict(osd.stats),
    }


@endpoints.get("/storage/ceph/osd/{osd}/state", "Whether an OSD is up and in.")
async def get_state(request: web.Request, _given: Nothing) -> web.Response:
    ceph = ceph_of(request)
    number = _number_in(request)
    states = await ceph.osd_states()
    if number not in states:
        raise NotFound(kind="OSD", name=str(number))
    return web.json_response({"id": str(number), "in": int(states[number].within), "up": int(states[number].up)})


@endpoints.post("/storage/ceph/osd/{osd}/state", "Take an OSD in or out.", State, role=Role.ADMIN)
async def set_state(request: web.Request, given: State) -> web.Response:
    ceph = ceph_of(request)
    number = _number_in(request)
    await ceph.mark(number, within=given.state is Place.IN)
    return message(f"Set OSD {number} {'online' if given.state is Place.IN else 'offline'}.")


def _number_in(request: web.Request) -> int:
    """The OSD of the path: one that cannot exist is not found."""
    text = request.match_info["osd"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound(kind="OSD", name=text)
    return int(text)
