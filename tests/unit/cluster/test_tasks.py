"""Long operations as records."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

import pytest
from msgspec.structs import replace

from pvc.cluster import migrations, tasks
from pvc.cluster.expiry import Expiry
from pvc.cluster.state import Held, State
from pvc.errors import Cancelled, Conflict, NotFound, PoolFull, PVCError, Timeout
from pvc.model.records import Task, TaskStatus
from tests.unit.cluster.house import House


async def begun(state: State, **more: object) -> Task:
    task = tasks.new(state, "upload", ("volume", "local/web1"), "web1", **more)
    await state.store.commit(tasks.creation(state, task))
    return task


async def write(state: State, task: Task) -> None:
    await state.store.commit(tasks.writing(state, await state.task(task.id), task))


async def test_who_waits_hears_of_the_end(house: House) -> None:
    task = await begun(house.state)
    waiting = asyncio.create_task(tasks.wait(house.other, task.id, 10))
    await write(house.state, replace(task, phase="receiving"))
    await write(house.state, tasks.done(task, "All of it."))
    assert (await waiting).result == "All of it."


async def test_who_waits_for_a_failure_is_told_the_same_code_and_sentence(house: House) -> None:
    task = await begun(house.state)
    await write(house.state, tasks.failed(task, PoolFull(name="local")))
    with pytest.raises(tasks.TaskProblem) as caught:
        await tasks.wait(house.other, task.id, 10)
    assert (caught.value.code, str(caught.value)) == ("pool_full", 'Pool "local" has too little space left.')


async def test_waiting_ends_at_its_deadline(house: House) -> None:
    task = await begun(house.state)
    with pytest.raises(Timeout, match=f'The end of task "{task.id}" did not happen within 0.01 s'):
        await tasks.wait(house.state, task.id, 0.01)


@pytest.mark.parametrize("task_id", ["missing", "", "../vms", "a/b"])
async def test_a_task_that_is_not_there_is_not_waited_for(house: House, task_id: str) -> None:
    for waiting in (tasks.wait(house.state, task_id, 10), tasks.after(house.state, task_id, 0, 10)):
        with pytest.raises(NotFound, match="No task"):
            await waiting


async def test_what_is_newer_is_told_at_once_and_what_is_not_is_waited_for(house: House) -> None:
    task = await begun(house.state)
    assert (await tasks.after(house.other, task.id, -1, 10)).version == 0
    waiting = asyncio.create_task(tasks.after(house.other, task.id, 0, 10))
    await write(house.state, replace(task, done=5))
    held = await waiting
    assert (held.version, held.record.done) == (1, 5)


async def test_without_news_the_task_is_told_as_it_is(house: House) -> None:
    task = await begun(house.state)
    assert await tasks.after(house.other, task.id, 7, 0.01) == Held(task, 0)


async def test_a_thousand_reports_are_one_write_and_the_last_word_stays(house: House) -> None:
    running = tasks.Running(house.state, tasks.new(house.state, "upload", ("volume", "local/web1"), "web1"))
    await running.begin()
    for done in range(1000):
        running.report("receiving", done, 1000)
    held = await tasks.after(house.other, running.task.id, 0, 10)
    assert (held.version, held.record.phase, held.record.done, held.record.total) == (1, "receiving", 999, 1000)
    for done in range(1000):
        running.report("receiving", done, 1000)
    await running.end(tasks.done(running.task, "All of it."))
    held = await house.state.task(running.task.id)
    assert (held.record.status, held.record.phase, held.record.result) == (TaskStatus.DONE, "", "All of it.")
    assert held.version <= 3


async def ended(state: State, name: str) -> str:
    task = replace(tasks.new(state, "upload", ("volume", "local/web1"), name), status=TaskStatus.DONE)
    await state.store.commit(tasks.creation(state, task))
    return task.id


async def left(state: State) -> set[str]:
    return {held.record.id for held in await state.tasks() if isinstance(held, Held)}


async def test_only_so_many_ended_tasks_are_kept_and_no_running_one_is_forgotten(house: House) -> None:
    moments = count(1)
    state = replace_clock(house.state, moments)
    running = await begun(state)
    made = [await ended(state, f"v{number}") for number in range(8)]
    await asyncio.gather(*(Expiry(1000.0, most=5).look(server) for server in (state, house.other)))
    assert await left(state) == {running.id, *made[3:]}


async def test_an_ended_task_is_kept_for_its_time_from_when_its_end_was_seen(house: House) -> None:
    """Whatever the clock of the machine said that wrote it."""
    now = 50.0
    expiry = Expiry(10.0, clock=lambda: now)
    task, running = await ended(house.state, "a"), await begun(house.state)
    await expiry.look(house.state)
    now = 59.0
    later = await ended(replace_clock(house.state, count(1)), "b")
    await expiry.look(house.other)
    assert await left(house.state) == {task, later, running.id}
    now = 60.0
    await expiry.look(house.other)
    assert await left(house.state) == {later, running.id}
    await write(house.state, tasks.done(running, "Well."))
    now = 68.0
    await expiry.look(house.state)
    assert await left(house.state) == {later, running.id}
    now = 70.0
    await expiry.look(house.state)
    assert await left(house.state) == {running.id}
    now = 78.0
    await expiry.look(house.state)
    assert await left(house.state) == set()


async def test_expired_tasks_go_by_themselves_until_the_session_ends(house: House) -> None:
    following = asyncio.create_task(Expiry(0.01).follow(house.other))
    async with house.state.store.watch(children=[house.state.paths.tasks]) as watch:
        await ended(house.state, "a")
        await watch.wait()
        while await left(house.state):
            await watch.wait()
    await house.other.store.aclose()
    await following


async def test_what_is_recorded_ends_as_it_ended(house: House) -> None:
    def lost(_exc: BaseException) -> PVCError:
        return PoolFull(name="local")

    for raised, status, code in (
        (None, TaskStatus.DONE, None),
        (Conflict(kind="volume", name="a", problem="is odd"), TaskStatus.FAILED, "conflict"),
        (ConnectionResetError(), TaskStatus.FAILED, "pool_full"),
    ):
        task = tasks.new(house.state, "clone", ("volume", "local/web1"), "web1")
        with suppress(PVCError, ConnectionResetError):
            async with tasks.recorded(house.state, task, lost) as running:
                running.result = "Well."
                if raised is not None:
                    raise raised
        found = (await house.state.task(task.id)).record
        assert (found.status, found.problem.get("code")) == (status, code)
        assert found.result == ("Well." if raised is None else "")


async def test_who_asks_for_the_end_of_a_task_cuts_it_off_and_what_it_reports_meanwhile_loses_no_wish(
    house: House,
) -> None:
    task = tasks.new(house.state, "upload", ("volume", "local/web1"), "web1")

    async def work() -> None:
        async with tasks.recorded(house.state, task, lambda exc: PVCError(reason=str(exc))) as running:
            while True:
                running.report("receiving", 1, 2)
                await asyncio.sleep(0)

    working = asyncio.create_task(work())
    while True:
        with suppress(NotFound):
            await migrations.cancel(house.other, task.id)
            break
    with pytest.raises(Cancelled, match='The upload of volume "local/web1" was cancelled'):
        await working
    found = (await house.state.task(task.id)).record
    assert (found.status, found.problem["code"], found.cancel) == (TaskStatus.CANCELLED, "cancelled", True)


def replace_clock(state: State, moments: count[int]) -> State:
    return State(state.store, state.paths, now=lambda: float(next(moments)))
