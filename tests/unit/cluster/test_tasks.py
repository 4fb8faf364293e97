"""Long operations as records."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from msgspec.structs import replace

from pvc.cluster import tasks
from pvc.cluster.state import Held, State
from pvc.errors import NotFound, PoolFull, Timeout
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


async def test_only_so_many_ended_tasks_are_kept_and_no_running_one_is_forgotten(house: House) -> None:
    moments = count(1)
    state = replace_clock(house.state, moments)
    running = await begun(state)
    ended = []
    for number in range(tasks.KEPT + 3):
        task = replace(tasks.new(state, "upload", ("volume", "local/web1"), f"v{number}"), status=TaskStatus.DONE)
        await state.store.commit(tasks.creation(state, task))
        ended.append(task.id)
    await asyncio.gather(tasks.forget_old(state), tasks.forget_old(state))
    left = {held.record.id for held in await state.tasks() if isinstance(held, Held)}
    assert left == {running.id, *ended[3:]}


def replace_clock(state: State, moments: count[int]) -> State:
    return State(state.store, state.paths, now=lambda: float(next(moments)))
