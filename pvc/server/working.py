"""Long work of this server: a task, which the one who asked waits for or follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from aiohttp import web

from pvc.cluster import tasks
from pvc.cluster.state import State
from pvc.cluster.tasks import Running
from pvc.errors import Busy, PVCError, Unavailable
from pvc.model.records import Task

log = logging.getLogger("pvc.server")

AT_WORK = web.AppKey("at work", set[asyncio.Task[Any]])


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


async def at_work(
    app: web.Application,
    state: State,
    task: Task,
    holding: AbstractAsyncContextManager[None],
    work: Callable[[Running], Awaitable[str]],
    *,
    wait: bool,
) -> bool:
    """Do `work` as `task`; return whether it is done. Whoever hangs up meanwhile does not end it.

    holding: what must be held for it; a refusal of that is the caller's at once. work: returns its result, a sentence.
    """
    begun = asyncio.Event()

    async def run() -> None:
        async with holding, tasks.recorded(state, task, _reason) as running:
            begun.set()
            running.result = await work(running)

    job = asyncio.create_task(run())
    app[AT_WORK].add(job)
    job.add_done_callback(app[AT_WORK].discard)
    if not wait:
        beginning = asyncio.create_task(begun.wait())
        await asyncio.wait((job, beginning), return_when=asyncio.FIRST_COMPLETED)
        beginning.cancel()
        if not job.done():
            job.add_done_callback(_note_bug)
            return False
    await asyncio.shield(job)
    return True


def _reason(exc: BaseException) -> PVCError:
    if isinstance(exc, asyncio.CancelledError):
        return Unavailable(what="The server", reason="it was stopped meanwhile")
    return PVCError(reason="the log of pvc serve has it")


def _note_bug(job: asyncio.Task[None]) -> None:
    """A refusal is told by the task."""
    if not job.cancelled() and (exc := job.exception()) and not isinstance(exc, PVCError):
        log.error("Work that nobody waits for failed", exc_info=exc)


async def cut_off_work(app: web.Application) -> None:
    for job in app[AT_WORK]:
        job.cancel()
    await asyncio.gather(*app[AT_WORK], return_exceptions=True)
