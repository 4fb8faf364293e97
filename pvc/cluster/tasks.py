"""Long operations as records: anybody may watch one, only the one who runs it writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec.structs import replace

from pvc.cluster.state import Held, State
from pvc.errors import Changed, HypervisorRefused, NotFound, PVCError, Timeout
from pvc.model.records import Task, TaskStatus, encode
from pvc.store.base import Create, Delete, Put

# Ended tasks that are kept for people to look at.
KEPT = 200


def new(state: State, kind: str, target: tuple[str, str], name: str, **more: object) -> Task:
    """A task record not yet stored. more: fields of Task."""
    now = state.now()
    task_id = state.new_uuid().replace("-", "")
    return Task(id=task_id, kind=kind, target=target, name=name, created_at=now, updated_at=now, **more)  # type: ignore[arg-type]


def creation(state: State, task: Task) -> Create:
    return Create(state.paths.task(task.id), encode(task))


def writing(state: State, held: Held[Task], task: Task) -> Put:
    return Put(state.paths.task(task.id), encode(replace(task, updated_at=state.now())), held.version)


def done(task: Task, result: str) -> Task:
    return replace(task, status=TaskStatus.DONE, phase="", result=result)


def failed(task: Task, exc: PVCError) -> Task:
    problem = {"code": exc.code, "message": str(exc)}
    return replace(task, status=TaskStatus.FAILED, phase="", problem=problem)


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
    """Return the task as soon as its version exceeds `version`, or as it is after `wait_s`."""
    async with state.store.watch(state.paths.task(task_id)) as watch:
        try:
            async with asyncio.timeout(wait_s):
                while (await state.task(task_id)).version <= version:
                    await watch.wait()
        except TimeoutError:
            pass
        return await state.task(task_id)


class Running:
    """A task that this process runs and alone writes. `report` is cheap: the store hears of it in its own time."""

    def __init__(self, state: State, task: Task) -> None:
        self._state = state
        self._held = Held(task, 0)
        self._latest = task
        self._changed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

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
        held = await self._state.task(task.id)
        await self._state.store.commit(writing(self._state, held, task))
        await forget_old(self._state)

    async def _write_on(self) -> None:
        """Write the newest report, again and again, each write paced by the one before and by half a second."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            held = await self._state.task(self._latest.id)
            await self._state.store.commit(writing(self._state, held, self._latest))
            await asyncio.sleep(0.5)


async def forget_old(state: State) -> None:
    """Delete the oldest ended tasks beyond KEPT."""
    ended = [
        held for held in await state.tasks() if isinstance(held, Held) and held.record.status is not TaskStatus.RUNNING
    ]
    ended.sort(key=lambda held: held.record.updated_at, reverse=True)
    for held in ended[KEPT:]:
        try:
            await state.store.commit(Delete(state.paths.task(held.record.id), held.version))
        except (NotFound, Changed):
            continue  # another server forgot it first
