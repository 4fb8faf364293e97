"""/storage/ceph/status, /utilization and /option: Ceph as a whole."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from aiohttp import web

from pvc.errors import Conflict
from pvc.model.records import Role
from pvc.server.endpoints import Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import CEPH, CONFIG, message
from pvc.server.rules import one_of
from pvc.storage.administration import FLAGS, Administration

endpoints = Endpoints()


class Action(StrEnum):
    SET = "set"
    UNSET = "unset"


class Option(msgspec.Struct):
    option: Annotated[str, one_of(sorted(FLAGS))]
    action: Action


def ceph_of(request: web.Request) -> Administration:
    """Raises Conflict where no Ceph is configured."""
    ceph = request.app[CEPH]
    if ceph is None:
        problem = 'has no Ceph cluster: "ceph.conf" of its configuration is empty'
        raise Conflict(kind="server", name=request.app[CONFIG].agent.node_name, problem=problem)
    return ceph


@endpoints.get("/storage/ceph/status", "How Ceph is, in its own words.")
async def get_status(request: web.Request, _given: Nothing) -> web.Response:
    return _text(request, "status", await ceph_of(request).status())


@endpoints.get("/storage/ceph/utilization", "What Ceph's pools take, in its own words.")
async def get_utilization(request: web.Request, _given: Nothing) -> web.Response:
    return _text(request, "utilization", await ceph_of(request).utilization())


def _text(request: web.Request, kind: str, text: str) -> web.Response:
    """primary_node: the one that answers, for all are equal."""
    return web.json_response({"type": kind, "primary_node": request.app[CONFIG].agent.node_name, "ceph_data": text})


@endpoints.post("/storage/ceph/option", "Set or unset a flag of all OSDs.", Option, role=Role.ADMIN)
async def set_option(request: web.Request, given: Option) -> web.Response:
    await ceph_of(request).flag(given.option, on=given.action is Action.SET)
    return message(f'{given.action.capitalize()} OSD property "{given.option}".')
