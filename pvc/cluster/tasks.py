"""Long operations as records: anybody may watch one, only the one who runs it writes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from pvc.cluster.cutting import cut_off
from pvc.cluster.state import Held, State
from pvc.errors import Cancelled, Changed, HypervisorRefused, PVCError, StoreUnavailable, Timeout
from pvc.model.records import Task, TaskStatus, encode
from pvc.store.base import Create, Put

Details = Mapping[str, str | list[str]]
Report = Callable[[str, int, int], None]  # given the phase, what of it is done, and all that there is, 0 if unknown


def unheard(_phase: str, _done: int, _total: int) -> None:
    """A report to nobody."""


def new(state: State, kind: str, target: tuple[str, str], name: str, **more: object) -> Task:
    """A task record not yet stored. more: fields of Task."""
    now = state.now()
    task_id = state.new_uuid().replace("-", "")
    return Task(id=task_id, kind=kind, target=target, name=name, created_at=now, updated_at=now, **more)  # type: ignore[arg-type]


def creation(state: State, task: Task) -> Create:
    return Create(state.paths.task(task.id), encode(task))


def writing(state: State, held: Held[Task], task: Task) -> Put:
    return Put(state.paths.task(task.id), encode(replace(task, updated_at=state.now())), held.version)


def done(task: Task, result: str, details: Details | None = None) -> Task:
    return replace(task, status=TaskStatus.DONE, phase="", result=result, details=dict(details or {}))


def failed(task: Task, exc: PVCError) -> Task:
    status = TaskStatus.CANCELLED if isinstance(exc, Cancelled) else TaskStatus.FAILED
    return replace(task, status=status, phase="", problem={"code": exc.code, "message": str(exc)})


def cancelled(task: Task) -> Cancelled:
    return Cancelled(what=f'The {task.kind} of {task.target[0]} "{task.target[1]}"')


class TaskProblem(PVCError):
    """What a task failed with, told again to the one who waited for it: the same code and message."""

    message = "{text}"

    def __init__(self, problem: Mapping[str, str]) -> None:
        super().__init__(text=problem.get("message", "The task failed for a reason that was not recorded."))
        self.code = problem.get("code", HypervisorRefused.code)
        self.fields = {}


async def wait(state: State, task_id: str, timeout_s: float) -> Task:
    """Return the task once it has ended well. Raises TaskProblem when it has not, Timeout when it goes on."""
    path = state.paths.task(task_id)
    try:
        async with asyncio.timeout(timeout_s), state.store.watch(path) as watch:
            while True:
                task = (await state.task(task_id)).record
                if task.status is TaskStatus.DONE:
                    return task
                if task.status is not TaskStatus.RUNNING:
                    raise TaskProblem(task.problem)
                await watch.wait()
    except TimeoutError as exc:
        raise Timeout(what=f'The end of task "{task_id}"', timeout_s=timeout_s) from exc


async def after(state: State, task_id: str, version: int, wait_s: float) -> Held[Task]:
    """Return the task as soon as its version exceeds `version` or it has ended, or as it is after `wait_s`."""
    async with state.store.watch(state.paths.task(task_id)) as watch:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while True:
                    held = await state.task(task_id)
                    if held.version > version or held.record.status is not TaskStatus.RUNNING:
                        return held
                    await watch.wait()
        return await state.task(task_id)


class Running:
    """A task that this process runs and alone writes. `report` is cheap: the store hears of it in its own time.

    result, details: what to tell of it in the end.
    """

    def __init__(self, state: State, task: Task) -> None:
        self._state = state
        self._held = Held(task, 0)
        self._latest = task
        self._changed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._left = False
        self.result = ""
        self.details: Details = {}

    @property
    def task(self) -> Task:
        return self._latest

    async def begin(self) -> None:
        await self._state.store.commit(creation(self._state, self._latest))
        self._writer = asyncio.create_task(self._write_on())

    def report(self, phase: str, done_: int, total: int) -> None:
        self._latest = replace(self._latest, phase=phase, done=done_, total=total)
        self._changed.set()

    async def end(self, task: Task) -> None:
        """Write the last word. The record may be gone with the store's session; the caller's own answer stands."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._latest = task
        if not self._left:
            await self._write()

    def leave(self) -> None:
        """Write nothing more: the last word stands in another generation of the records, or is another server's."""
        self._left = True

    async def check(self) -> None:
        """Raises Cancelled when somebody has asked for the end by now."""
        if (await self._state.task(self._latest.id)).record.cancel:
            raise cancelled(self._latest)

    async def asked_to_end(self) -> None:
        """Return when somebody has asked for the end; never where the store cannot say so."""
        with suppress(PVCError):
            async with self._state.store.watch(self._state.paths.task(self._latest.id)) as watch:
                while not (await self._state.task(self._latest.id)).record.cancel:
                    await watch.wait()
                return
        await asyncio.Event().wait()

    async def _write_on(self) -> None:
        """Write the newest report, again and again, each write paced by the one before and by half a second."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._write()
            await asyncio.sleep(0.5)

    async def _write(self) -> None:
        """Only the wish for its end is others' to write, and stays."""
        while True:
            held = await self._state.task(self._latest.id)
            told = replace(self._latest, cancel=held.record.cancel)
            try:
                await self._state.store.commit(writing(self._state, held, told))
            except Changed:
                continue
            return


@asynccontextmanager
async def recorded(state: State, task: Task, reason: Callable[[BaseException], PVCError]) -> AsyncIterator[Running]:
    """What is inside, as a task from its beginning to its end, whatever that is. `result` is told when it went well.

    reason: what an end by anything is told as. Raises Cancelled when somebody asked for the end: it is cut off then.
    """
    running = Running(state, task)
    await running.begin()
    try:
        async with cut_off(running.asked_to_end, lambda: cancelled(task)):
            yield running
    except BaseException as exc:
        await asyncio.shield(_end_badly(running, exc if isinstance(exc, PVCError) else reason(exc)))
        raise
    await running.end(done(running.task, running.result, running.details))


async def _end_badly(running: Running, exc: PVCError) -> None:
    with suppress(StoreUnavailable):  # a server that sees the lock gone ends it
        await running.end(failed(running.task, exc))
