"""A restore as a task: it ends as it ended, in the generation that is in force, whatever breaks when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from pvc.cluster import backing, leftovers, migrations, nodes, recovery, tasks
from pvc.cluster.backing import Ground
from pvc.cluster.recovery import Wish
from pvc.errors import Cancelled, NotFound, PVCError, Unavailable
from pvc.model import backup
from pvc.model.backup import Backup
from pvc.model.content import Content
from pvc.model.records import DaemonState, Made, Node, NodeStatus, Task, TaskStatus
from pvc.store.embedded import EmbeddedSource
from pvc.store.paths import RECOVERY
from tests.parts.interruption import cut_at
from tests.parts.recovery import Breaking, Meanwhile, content, ground, outcome

ID = "5e5510n"


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[EmbeddedSource]:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    yield source
    await source.aclose()


async def restore(source: EmbeddedSource, given: Content) -> None:
    async with ground(source) as on:
        await recovery.restore(on, Backup(given), who="me", force=True)


async def present(source: EmbeddedSource) -> Content:
    async with ground(source) as on:
        return backup.read(await backing.take(on)).content


async def as_task(on: Ground, new: Content, task_id: str = ID, *, force: bool = True) -> None:
    """As the server does it."""
    task = replace(tasks.new(on.state, Made.RESTORE, ("cluster", "pvc"), "pvc", node="hv1"), id=task_id)
    async with on.store.lock(RECOVERY, leftovers.holder(task)), tasks.recorded(on.state, task, reason) as running:
        wish = Wish(Made.RESTORE, "me", force=force)
        running.result = (await recovery.replace_all(on, Backup(new), wish, running)).told


def reason(_exc: BaseException) -> PVCError:
    return Unavailable(what="The server", reason="it was stopped")


async def seen_task(source: EmbeddedSource, task_id: str = ID) -> Task | None:
    """As it is once servers have looked for what was left."""
    async with ground(source) as on:
        await leftovers.end_abandoned(on.state)
        with suppress(NotFound):
            return (await on.state.task(task_id)).record
    return None


async def test_a_task_is_done_in_the_generation_that_it_put_in_force(source: EmbeddedSource) -> None:
    """Where it has counted all that was written; and it was not in its own way."""
    async with ground(source) as on:
        await nodes.join(on.state, Node(name="hv1"))
        await nodes.publish(on.state, "hv1", NodeStatus(daemon=DaemonState.RUN))
        await as_task(on, content(3), force=False)
    task = await seen_task(source)
    assert task is not None and task.status is TaskStatus.DONE
    assert task.done == task.total > 0
    assert task.result == (
        'Restored 3 VMs, 1 network and 1 node as generation "2"; generation "1" is kept. '
        'The agents of these nodes rejoin within seconds: "hv1".'
    )
    assert task.figures == {"generation": 2, "previous": 1}


class Halting(Meanwhile):
    """Goes on after the records are written only when it is told so."""

    def __init__(self, source: EmbeddedSource) -> None:
        self.halted, self.go = asyncio.Event(), asyncio.Event()
        super().__init__(source, self._halt)

    async def _halt(self) -> None:
        self.halted.set()
        await self.go.wait()


async def test_a_cancelled_restore_leaves_all_as_it_was(source: EmbeddedSource) -> None:
    halting = Halting(source)
    async with ground(halting) as on, ground(source) as other:
        work = asyncio.create_task(as_task(on, content(3)))
        await halting.halted.wait()
        await migrations.cancel(other.state, ID)
        with pytest.raises(Cancelled):
            await work
    assert await present(source) == Content()
    task = await seen_task(source)
    assert task is not None and (task.status, task.problem["code"]) == (TaskStatus.CANCELLED, "cancelled")
    async with ground(source) as on:
        assert "2" not in await on.store.children("/pvc")


async def test_a_wish_for_the_end_counts_that_nobody_heard_of_before_everybody_stood_still(
    source: EmbeddedSource,
) -> None:
    async with ground(source) as on:
        running = tasks.Running(on.state, tasks.new(on.state, Made.RESTORE, ("cluster", "pvc"), "pvc"))
        await running.begin()
        await migrations.cancel(on.state, running.task.id)
        wish = Wish(Made.RESTORE, "me", force=True)
        with pytest.raises(Cancelled):
            await recovery.replace_all(on, Backup(content(3)), wish, running)
        await running.end(running.task)
    assert await present(source) == Content()


async def test_a_restore_as_a_task_that_is_cut_off_anywhere_tells_what_came_of_it(source: EmbeddedSource) -> None:
    """The records are the old ones and the task has failed, or they are the new ones and it is done."""
    new, ends = content(1), set[tuple[bool, TaskStatus | None]]()
    for suspension in range(1000):
        async with ground(source) as on:
            cut = await cut_at(as_task(on, new, f"t{suspension}"), suspension)
        found, task = await present(source), await seen_task(source, f"t{suspension}")
        assert found in (Content(), new)
        ends.add((found == new, task.status if task else None))
        if found == new:
            await restore(source, Content())
        if not cut:
            break
    assert ends <= {(False, None), (False, TaskStatus.FAILED), (True, TaskStatus.DONE)}
    assert len(ends) == 3


async def test_a_restore_whose_server_died_is_ended_by_another(tmp_path: Path) -> None:
    """Whatever call was its last."""
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    old, new, ends = Content(), content(1), set[tuple[bool, TaskStatus | None]]()
    for number in range(1000):
        breaking = Breaking(source, number, after=True)
        await outcome(_attempt(breaking, new, f"t{number}"))
        found, task = await present(source), await seen_task(source, f"t{number}")
        ends.add((found == new, task.status if task else None))
        if not breaking.broke:
            break
        await restore(source, old)
    assert ends <= {(False, None), (False, TaskStatus.FAILED), (True, TaskStatus.DONE)}
    assert len(ends) == 3
    await source.aclose()


async def _attempt(source: Breaking, new: Content, task_id: str) -> None:
    async with ground(source) as on:
        await as_task(on, new, task_id)
