"""/node/{node}/domain-state: emptying a node, and bringing its VMs home."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from aiohttp import web

from pvc.cluster import flushes, tasks
from pvc.model.flushing import FLUSH, UNFLUSH, Leaver, Way
from pvc.model.records import Role, Selector
from pvc.server.endpoints import Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import CONFIG, POOLS, message, who
from pvc.server.session import state_of
from pvc.units import MIB

endpoints = Endpoints()

# A node full of large guests takes long; who waits may as well ask for the task.
_WAIT_S = 24 * 3600.0


class Wanted(StrEnum):
    READY = "ready"
    FLUSH = "flush"


class Ask(msgspec.Struct):
    """wait: until the node is empty, or its VMs are home."""

    state: Wanted
    wait: bool = False


_GOING = {
    Wanted.FLUSH: 'Flushing hypervisor "{}" of running VMs.',
    Wanted.READY: 'Restoring hypervisor "{}" to active service.',
}
_DONE = {
    Wanted.FLUSH: 'Flushed hypervisor "{}" of running VMs.',
    Wanted.READY: 'Restored hypervisor "{}" to active service.',
}
_SO = {Wanted.FLUSH: 'Hypervisor "{}" is already flushed.', Wanted.READY: 'Hypervisor "{}" is already ready.'}


@endpoints.post(
    "/node/{node}/domain-state",
    "Empty a node of its VMs, or bring them home and let it take others.",
    Ask,
    role=Role.ADMIN,
)
async def change_domain_state(request: web.Request, given: Ask) -> web.Response:
    state, name = state_of(request), request.match_info["node"]
    kind = FLUSH if given.state is Wanted.FLUSH else UNFLUSH
    task = await flushes.ask(state, name, kind, who(request))
    if task is None:
        return message(_SO[given.state].format(name), task="")
    if not given.wait:
        return message(_GOING[given.state].format(name), task=task.id)
    ended = await tasks.wait(state, task.id, _WAIT_S)
    return message(_DONE[given.state].format(name), task=task.id, result=ended.result, **ended.figures)


@endpoints.get("/node/{node}/flush-plan", "What flushing a node would do with each of its VMs.")
async def show_plan(request: web.Request, _given: Nothing) -> web.Response:
    name = request.match_info["node"]
    default = Selector(request.app[CONFIG].placement.selector)
    plan = await flushes.plan(state_of(request), request.app[POOLS], name, default)
    shown = {
        "name": name,
        "moves": [{**_vm(move.vm), "node": move.target} for move in plan.moves],
        "stays": [{**_vm(stay.vm), "reason": stay.reason} for stay in plan.stays],
    }
    return web.json_response(shown)


def _vm(vm: Leaver) -> dict[str, Any]:
    """shutdown: "yes", "no", or "if live fails"."""
    shutdown = {Way.SHUTDOWN: "yes", Way.LIVE_FIRST: "if live fails"}.get(vm.way, "no")
    return {
        "vm": vm.name,
        "uuid": vm.uuid,
        "running": vm.running,
        "memory": vm.memory // MIB,
        "vcpus": vm.vcpus,
        "way": str(vm.way),
        "shutdown": shutdown,
    }
