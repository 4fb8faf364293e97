"""/tasks: long operations as they go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from aiohttp import web

from pvc.cluster import migrations, tasks
from pvc.cluster.state import Held
from pvc.errors import SessionLost
from pvc.model.migration import MIGRATE
from pvc.model.records import Task, TaskStatus
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.parts import message
from pvc.server.session import SESSION, state_of, view_of

endpoints = Endpoints()

_LONGEST_WAIT_S = 60.0


class ListQuery(msgspec.Struct):
    limit: Limit | None = None
    kind: str | None = None
    target: str | None = None
    status: TaskStatus | None = None


class Wait(msgspec.Struct):
    """after: the version already known. wait: seconds to wait for a newer one."""

    after: int = -1
    wait: Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_WAIT_S)] = 0.0


class Act(StrEnum):
    CANCEL = "cancel"


class Ask(msgspec.Struct):
    action: Act


@endpoints.get("/tasks", "Long operations.", ListQuery, answer=Answer.LIST)
async def list_tasks(request: web.Request, query: ListQuery) -> web.Response:
    shown = [_shown(item) for item in await (await view_of(request)).tasks()]
    fits = matcher(query.limit)
    shown = [item for item in shown if _chosen(item, query) and fits(item["name"])]
    return web.json_response(sorted(shown, key=lambda item: float(item["created_at"])))


def _chosen(item: dict[str, Any], query: ListQuery) -> bool:
    wanted = ((query.kind, item["kind"]), (query.target, item["target"]), (query.status, item["status"]))
    return all(word is None or word == found for word, found in wanted)


def _shown(item: Held[Task] | Any) -> dict[str, Any]:
    if isinstance(item, Held):
        return task_object(item)
    unreadable = Task(id=item.key, kind="unknown", target=("unknown", ""), name="", status=TaskStatus.FAILED)
    problem = {"code": "corrupt", "message": f"The record cannot be read: {item.reason}"}
    return task_object(Held(msgspec.structs.replace(unreadable, problem=problem), 0))


@endpoints.get("/tasks/{task}", "One long operation, at once or when it has changed.", Wait)
async def get_task(request: web.Request, query: Wait) -> web.Response:
    task_id = request.match_info["task"]
    held = await _changed(request, task_id, query) if query.wait else await state_of(request).task(task_id)
    return web.json_response(task_object(held))


async def _changed(request: web.Request, task_id: str, query: Wait) -> Held[Task]:
    """Also when the store's session ends meanwhile: after a restore the task stands in the new generation."""
    clock, state = asyncio.get_running_loop().time, None
    until = clock() + query.wait
    while True:
        state = await request.app[SESSION].after(state, until - clock())
        with suppress(SessionLost):
            return await tasks.after(state, task_id, query.after, max(until - clock(), 0.0))


@endpoints.post("/tasks/{task}", "Ask for the end of a long operation, which then changes nothing.", Ask)
async def change_task(request: web.Request, _given: Ask) -> web.Response:
    task = await migrations.cancel(state_of(request), request.match_info["task"])
    return message(f'Asked for the end of task "{task.id}".')


def task_object(held: Held[Task]) -> dict[str, Any]:
    task = held.record
    return {
        "id": task.id,
        "kind": task.kind,
        "target": "/".join(task.target),
        "name": task.name,
        "who": task.who,
        "node": task.node,
        "to": task.args.get("target", "") if task.kind == MIGRATE else "",
        "status": str(task.status),
        "phase": task.phase,
        "done": task.done,
        "total": task.total,
        "result": task.result,
        "problem": task.problem,
        "cancel": task.cancel,
        "figures": task.figures,
        "details": task.details,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "version": held.version,
    }
