"""/vm/{vm}/tags."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from aiohttp import web

from pvc.cluster import tags
from pvc.model.records import Tag
from pvc.server.parse import Nothing, need_name, parameters
from pvc.server.parts import BASE, message
from pvc.server.session import state_of
from pvc.server.vmview import tag_object

routes = web.RouteTableDef()


class Action(StrEnum):
    ADD = "add"
    REMOVE = "remove"


class Change(msgspec.Struct):
    action: Action
    tag: str
    protected: bool = False


@routes.get(f"{BASE}/vm/{{vm}}/tags")
async def get_tags(request: web.Request) -> web.Response:
    await parameters(request, Nothing)
    vm = (await state_of(request).find_vm(request.match_info["vm"])).record
    return web.json_response({"name": vm.name, "tags": [tag_object(tag) for tag in vm.tags]})


@routes.post(f"{BASE}/vm/{{vm}}/tags")
async def change_tags(request: web.Request) -> web.Response:
    given = await parameters(request, Change)
    tag = Tag(name=need_name("tag", given.tag), protected=given.protected)
    state = state_of(request)
    vm = (await state.find_vm(request.match_info["vm"])).record
    await tags.change(state, vm.name, given.action, tag)
    verb, to = ("added", "to") if given.action is Action.ADD else ("removed", "from")
    return message(f'Successfully {verb} tag "{tag.name}" {to} VM "{vm.name}".')
