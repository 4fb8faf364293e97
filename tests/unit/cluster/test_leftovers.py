"""What servers that died left."""

from __future__ import annotations

import asyncio

import pytest

from pvc.cluster import leftovers, tasks, volumes
from pvc.errors import SessionLost
from pvc.model.records import Task, TaskStatus
from pvc.store.base import Create
from pvc.store.paths import lock_path
from tests.unit.cluster.house import House

LOCK = volumes.lock_name("local", "web1")


async def begun(house: House, kind: str = leftovers.UPLOAD, target: tuple[str, str] = ("volume", "local/web1")) -> Task:
    task = tasks.new(house.state, kind, target, "web1", node="api1")
    await house.state.store.commit(tasks.creation(house.state, task))
    return task


async def status(house: House, task: Task) -> TaskStatus:
    return (await house.state.task(task.id)).record.status


async def test_an_upload_whose_lock_is_gone_has_failed_and_says_why(house: House) -> None:
    task = await begun(house)
    assert await leftovers.end_abandoned(house.other) == (set(), 1)
    ended = (await house.state.task(task.id)).record
    assert ended.status is TaskStatus.FAILED
    said = 'The server on "api1" is not available: it ended, or lost the cluster store, during the upload'
    assert ended.problem == {"code": "unavailable", "message": said}
    assert await leftovers.end_abandoned(house.other) == (set(), 0)


async def test_an_upload_under_its_lock_goes_on(house: House) -> None:
    task = await begun(house)
    async with volumes.reserved(house.state, "local", "web1", leftovers.holder(task)):
        assert await leftovers.end_abandoned(house.other) == ({lock_path(LOCK)}, 0)
        assert await status(house, task) is TaskStatus.RUNNING


async def test_the_lock_of_the_next_upload_does_not_keep_an_abandoned_one(house: House) -> None:
    task, second = await begun(house), await begun(house)
    async with volumes.reserved(house.state, "local", "web1", leftovers.holder(second)):
        assert await leftovers.end_abandoned(house.other) == ({lock_path(LOCK)}, 1)
    assert await status(house, task) is TaskStatus.FAILED
    assert await status(house, second) is TaskStatus.RUNNING


async def test_what_others_run_and_what_cannot_be_read_is_left_alone(house: House) -> None:
    plug = await begun(house, "attach", ("vm", "u"))
    await house.state.store.commit(Create(house.state.paths.task("broken"), b"{"))
    assert await leftovers.end_abandoned(house.other) == (set(), 0)
    assert await status(house, plug) is TaskStatus.RUNNING


async def test_a_task_that_begins_later_and_is_abandoned_is_ended_too(house: House) -> None:
    clearing = asyncio.create_task(leftovers.keep_clear(house.other, house.pools))
    with pytest.raises(tasks.TaskProblem, match="during the upload"):
        await tasks.wait(house.state, (await begun(house)).id, 10)
    await house.other.store.aclose()
    await clearing


async def test_whoever_holds_a_volume_is_cut_off_when_the_session_is_lost(house: House) -> None:
    with pytest.raises(SessionLost, match="lock of the volume"):
        async with volumes.reserved(house.state, "local", "web1", "an upload"):
            await house.state.store.aclose()
            await asyncio.Event().wait()


async def test_a_deadline_inside_is_still_its_own(house: House) -> None:
    with pytest.raises(TimeoutError):
        async with volumes.reserved(house.state, "local", "web1", "an upload"):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
