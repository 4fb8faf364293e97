"""/vm/{vm}/node: moving a VM to another node, for a time or for good."""

from __future__ import annotations

import msgspec
from aiohttp import web

from pvc.cluster import migrations
from pvc.cluster.migrations import Action, Asked
from pvc.errors import InvalidInput
from pvc.model.records import Selector
from pvc.server.endpoints import Endpoints
from pvc.server.parts import CONFIG, POOLS, message, who
from pvc.server.rules import NodeName
from pvc.server.session import state_of

endpoints = Endpoints()

# A large guest on a slow network takes long; who waits may as well ask for the task.
_WAIT_S = 3600.0

_GOING = {
    Action.MIGRATE: 'Migrating VM "{vm}" to node "{node}".',
    Action.UNMIGRATE: 'Unmigrating VM "{vm}" back to node "{node}".',
    Action.MOVE: 'Permanently migrating VM "{vm}" to node "{node}".',
}
_GONE = {
    Action.MIGRATE: 'Migrated VM "{vm}" to node "{node}".',
    Action.UNMIGRATE: 'Unmigrated VM "{vm}" back to node "{node}".',
    Action.MOVE: 'Permanently migrated VM "{vm}" to node "{node}".',
}


class Move(msgspec.Struct):
    """node: absent to have one chosen. force: although the VM was migrated before. force_live: never by a shutdown."""

    action: Action
    node: NodeName | None = None
    force: bool = False
    wait: bool = False
    force_live: bool = False


@endpoints.post("/vm/{vm}/node", "Migrate a VM to another node, back home, or move it for good.", Move)
async def move_vm(request: web.Request, given: Move) -> web.Response:
    if given.node and given.action is Action.UNMIGRATE:
        raise InvalidInput({"node": "is not for unmigrate, which brings the VM back to where it came from"})
    state, name = state_of(request), request.match_info["vm"]
    asked = Asked(action=given.action, node=given.node or "", force=given.force, force_live=given.force_live)
    default = Selector(request.app[CONFIG].placement.selector)
    outcome = await migrations.ask(state, request.app[POOLS], name, asked, default=default, who=who(request))
    task_id = outcome.task.id if outcome.task is not None else ""
    if outcome.was_here:
        return message(f'Made the migration of VM "{outcome.vm.name}" permanent.', node=outcome.node, task="")
    if task_id and not given.wait:
        text = _GOING[given.action].format(vm=outcome.vm.name, node=outcome.node)
        return message(text, node=outcome.node, task=task_id)
    ended = await migrations.wait(state, outcome, _WAIT_S)
    text = _GONE[given.action].format(vm=outcome.vm.name, node=outcome.node)
    figures = ended.figures if ended is not None else {}
    return message(text, node=outcome.node, task=task_id, result=ended.result if ended is not None else "", **figures)
