"""/vm/{vm}/state: start, shutdown, stop, restart, disable."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from aiohttp import web

from pvc.cluster import power
from pvc.model.observing import was_stopped
from pvc.model.records import VM, Desired
from pvc.server.endpoints import Endpoints
from pvc.server.parts import CONFIG, message
from pvc.server.session import state_of

endpoints = Endpoints()

# What a start may take before its waiter is told that it goes on without it.
_WAIT_S = 120.0


class Action(StrEnum):
    START = "start"
    SHUTDOWN = "shutdown"
    STOP = "stop"
    RESTART = "restart"
    DISABLE = "disable"


class Ask(msgspec.Struct):
    """timeout: seconds the guest has to shut down before the plug is pulled."""

    state: Action
    force: bool = False
    wait: bool = False
    timeout: Annotated[float, msgspec.Meta(ge=0)] | None = None


_ASKED = {
    Action.START: "Starting VM",
    Action.SHUTDOWN: "Shutting down VM",
    Action.STOP: "Forcibly stopping VM",
    Action.RESTART: "Restarting VM",
    Action.DISABLE: "Disabling VM",
}
_DONE = {
    Action.START: "Started VM",
    Action.SHUTDOWN: "Shut down VM",
    Action.STOP: "Stopped VM",
    Action.RESTART: "Restarted VM",
    Action.DISABLE: "Disabled VM",
}


@endpoints.post("/vm/{vm}/state", "Start, restart, shut down, stop or disable a VM.", Ask)
async def ask_state(request: web.Request, given: Ask) -> web.Response:
    state = state_of(request)
    name = request.match_info["vm"]
    vm = await power.ask(state, name, given.state, force=given.force, deadline_s=given.timeout)
    if not given.wait:
        return message(f'{_ASKED[given.state]} "{vm.name}".')
    await power.wait(state, vm, _WAIT_S + _shutdown_s(request, vm))
    if given.state is Action.SHUTDOWN and was_stopped(await state.observed(vm), vm.run):
        return message(f'VM "{vm.name}" did not shut down in its time, so its plug was pulled.')
    return message(f'{_DONE[given.state]} "{vm.name}".')


def _shutdown_s(request: web.Request, vm: VM) -> float:
    if vm.deadline_s is not None:
        return vm.deadline_s
    ending = vm.desired is not Desired.RUNNING or vm.run > 1
    return request.app[CONFIG].agent.shutdown_timeout_s if ending else 0.0
