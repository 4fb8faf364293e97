"""/vm/{vm}/tags."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from aiohttp import web

from pvc.cluster import tags
from pvc.model.records import Tag
from pvc.server.endpoints import Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import message, who
from pvc.server.rules import TagName
from pvc.server.session import state_of
from pvc.server.vmview import tag_object

endpoints = Endpoints()


class Action(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    UNPROTECT = "unprotect"


_DONE = {
    Action.ADD: 'Successfully added tag "{tag}" to VM "{vm}".',
    Action.REMOVE: 'Successfully removed tag "{tag}" from VM "{vm}".',
    Action.UNPROTECT: 'Lifted the protection of tag "{tag}" of VM "{vm}".',
}


class Change(msgspec.Struct):
    action: Action
    tag: TagName
    protected: bool = False


@endpoints.get("/vm/{vm}/tags", "Tags of a VM.")
async def get_tags(request: web.Request, _given: Nothing) -> web.Response:
    vm = (await state_of(request).find_vm(request.match_info["vm"])).record
    lifted = [{"tag": one.tag, "who": one.who, "at": one.at} for one in vm.lifted]
    return web.json_response({"name": vm.name, "tags": [tag_object(tag) for tag in vm.tags], "unprotected": lifted})


@endpoints.post("/vm/{vm}/tags", "Add, remove or unprotect one tag of a VM.", Change)
async def change_tags(request: web.Request, given: Change) -> web.Response:
    tag = Tag(name=given.tag, protected=given.protected)
    state = state_of(request)
    vm = (await state.find_vm(request.match_info["vm"])).record
    await tags.change(state, vm.name, given.action, tag, who=who(request))
    return message(_DONE[given.action].format(tag=tag.name, vm=vm.name))
