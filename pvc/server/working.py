"""Long work of this server: a task, which the one who asked waits for or follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from pvc.cluster import tasks
from pvc.cluster.state import State
from pvc.cluster.tasks import Details, Running
from pvc.errors import Busy, PVCError, Unavailable
from pvc.model.records import Task
from pvc.server.parts import CONFIG, message, who
from pvc.server.session import state_of

log = logging.getLogger("pvc.server")

H = TypeVar("H")
T = TypeVar("T")

AT_WORK = web.AppKey("at work", set[asyncio.Task[Any]])


class Waited(msgspec.Struct):
    """wait: answer when all is done, else with the task that it is."""

    wait: bool = True


@dataclass(frozen=True, slots=True)
class Done:
    """What is answered when all is done, and told by the task: a sentence, and what else there is to tell."""

    sentence: str
    more: Details = field(default_factory=dict)


@contextmanager
def admitted(under_way: set[str], task: Task, most: int, server: str, what: str) -> Iterator[None]:
    """Count the task among those under way. Raises Busy when they are as many as this server takes."""
    if len(under_way) >= most:
        raise Busy(kind="server", name=server, holder=f"{len(under_way)} {what}, the most it takes")
    under_way.add(task.id)
    try:
        yield
    finally:
        under_way.discard(task.id)


def new_task(request: web.Request, kind: str, target: tuple[str, str], name: str, **more: object) -> Task:
    """A task of this server's for the one who asks. more: fields of Task."""
    here = request.app[CONFIG].agent.node_name
    return tasks.new(state_of(request), kind, target, name, who=who(request), node=here, **more)


async def answer(
    request: web.Request,
    task: Task,
    holding: AbstractAsyncContextManager[H],
    work: Callable[[Running, H], Awaitable[Done]],
    *,
    wait: bool,
    doing: str,
    named: bool = False,
) -> web.Response:
    """Do `work` as `task`, and answer with what came of it; unless `wait`, with `doing`, a sentence, and the task.

    holding, work: as in `at_work`. named: the task is named to who waits, too.
    """
    done: list[Done] = []

    async def telling(running: Running, held: H) -> str:
        done.append(await work(running, held))
        running.details = done[0].more
        return done[0].sentence

    if await at_work(request.app, state_of(request), task, holding, telling, wait=wait):
        return message(done[0].sentence, **done[0].more, **({"task": task.id} if named else {}))
    return message(doing, task=task.id)


async def at_work(
    app: web.Application,
    state: State,
    task: Task,
    holding: AbstractAsyncContextManager[H],
    work: Callable[[Running, H], Awaitable[str]],
    *,
    wait: bool,
) -> bool:
    """Do `work` as `task`; return whether it was waited for. Whoever hangs up meanwhile does not end it.

    holding: what must be held and be so for it; a refusal of that is the caller's at once, and leaves no task.
    work: given what `holding` yields; returns its result, a sentence.
    """
    begun = asyncio.Event()

    async def run() -> None:
        async with holding as held, tasks.recorded(state, task, _reason) as running:
            begun.set()
            running.result = await work(running, held)

    job = in_background(app, run())
    if not wait:
        beginning = asyncio.create_task(begun.wait())
        await asyncio.wait((job, beginning), return_when=asyncio.FIRST_COMPLETED)
        beginning.cancel()
        if begun.is_set():
            job.add_done_callback(note_bug)
            return False
    await asyncio.shield(job)
    return True


def in_background(app: web.Application, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """It ends with the server at the latest."""
    job = asyncio.create_task(work)
    app[AT_WORK].add(job)
    job.add_done_callback(app[AT_WORK].discard)
    return job


def _reason(exc: BaseException) -> PVCError:
    if isinstance(exc, asyncio.CancelledError):
        return Unavailable(what="The server", reason="it was stopped meanwhile")
    return PVCError(reason="the log of pvc serve has it")


def note_bug(job: asyncio.Task[Any]) -> None:
    """A refusal is told by the task."""
    if not job.cancelled() and (exc := job.exception()) and not isinstance(exc, PVCError):
        log.error("Work that nobody waits for failed", exc_info=exc)


async def cut_off_work(app: web.Application) -> None:
    for job in app[AT_WORK]:
        job.cancel()
    await asyncio.gather(*app[AT_WORK], return_exceptions=True)
