"""Requests that may take long: a task each, which the one who asks waits for or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pvc.cluster import leftovers, tasks
from pvc.errors import PoolUnavailable
from pvc.model.records import Task, TaskStatus
from pvc.server.session import SESSION
from pvc.units import MIB
from tests.parts import documents
from tests.unit.server.long import (
    AFTER,
    ALL,
    BEFORE,
    GROW,
    NO_OVA,
    NO_VM,
    REMOVE,
    REVERT,
    SNAP,
    SNAPSHOT,
    STORAGE,
    TO_THE_END,
    VOLUME,
    Long,
    found,
    stock,
)
from tests.unit.server.site import Site


@pytest.fixture
async def stocked(site: Site) -> Site:
    await stock(site)
    return site


def ids(values: list[Any]) -> list[str]:
    return [str(one[0] if isinstance(one, tuple) else one) for one in values]


async def only_task(site: Site) -> Task:
    [task] = await site.tasks()
    return task


@pytest.mark.parametrize(("long", "changed"), AFTER, ids=ids(AFTER))
async def test_who_waits_is_told_the_end_of_what_is_a_task_all_the_same(
    stocked: Site, long: Long, changed: dict[str, Any]
) -> None:
    answer = await long.ask(stocked)
    assert (answer.status, answer.body) == (200, {"message": long.done, **long.more})
    assert await found(stocked) == BEFORE | changed
    task = await only_task(stocked)
    assert (task.kind, "/".join(task.target), task.who, task.node) == (long.kind, long.target, "root", "hv1")
    assert (task.status, task.result, task.details, task.phase) == (TaskStatus.DONE, long.done, long.more, "")


@pytest.mark.parametrize(("long", "changed"), AFTER, ids=ids(AFTER))
async def test_who_does_not_wait_gets_the_task_which_ends_well(
    stocked: Site, long: Long, changed: dict[str, Any]
) -> None:
    answer = await long.ask(stocked, wait="false")
    assert answer.status == 200, answer.body
    assert answer.body == {"message": long.doing, "task": (await only_task(stocked)).id}
    await tasks.wait(stocked.state, answer.body["task"], 10)
    shown = (await stocked.ask("GET", f"/tasks/{answer.body['task']}")).body
    assert (shown["result"], shown["details"]) == (long.done, long.more)
    assert await found(stocked) == BEFORE | changed


@dataclass
class Held:
    """An act of the pool's that has begun and does not end before `go`."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def around(self, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def held(*args: Any, **more: Any) -> Any:
            self.begun.set()
            await self.go.wait()
            return await act(*args, **more)

        return held


@asynccontextmanager
async def under_way(site: Site, long: Long, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Yields the task's id; afterwards it goes on."""
    held = Held()
    actor = long.actor(site)
    monkeypatch.setattr(actor, long.act, held.around(getattr(actor, long.act)))
    answer = await long.ask(site, wait="false")
    assert answer.status == 200, answer.body
    await held.begun.wait()
    yield answer.body["task"]
    held.go.set()


@pytest.mark.parametrize(("long", "changed"), [one for one in AFTER if one[0] is not SNAP], ids=ids(TO_THE_END))
async def test_what_cannot_be_half_done_is_not_cancelled_and_says_so(
    stocked: Site, long: Long, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with under_way(stocked, long, monkeypatch) as task_id:
        answer = await stocked.ask("POST", f"/tasks/{task_id}", {"action": "cancel"})
        said = f'Task "{task_id}" is of kind "{long.kind}", which cannot be cancelled.'
        assert (answer.status, answer.message) == (409, said)
    assert (await tasks.wait(stocked.state, task_id, 10)).cancel is False
    assert await found(stocked) == BEFORE | changed


async def test_a_snapshot_that_is_a_copy_can_be_cancelled(stocked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with under_way(stocked, SNAP, monkeypatch) as task_id:
        assert (await stocked.ask("POST", f"/tasks/{task_id}", {"action": "cancel"})).status == 200
        with pytest.raises(tasks.TaskProblem, match='The snapshot of volume "local/disk0" was cancelled'):
            await tasks.wait(stocked.state, task_id, 10)
    assert await found(stocked) == BEFORE


MEASURED = [REMOVE, SNAP, REVERT, NO_OVA, NO_VM]


@pytest.mark.parametrize("long", MEASURED, ids=ids(MEASURED))
async def test_what_the_pool_can_measure_is_told_by_the_task(
    stocked: Site, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = getattr(stocked.pool, long.act)

    async def measured(*args: Any) -> Any:
        *others, heard = args
        done = await act(*others)
        heard(3, 7)
        return done

    monkeypatch.setattr(stocked.pool, long.act, measured)
    assert (await long.ask(stocked)).status == 200
    task = await only_task(stocked)
    assert (task.done, task.total) == (3, 7)


GONE_AT_ONCE = [NO_OVA, NO_VM]
HELD = [one for one in ALL if one not in GONE_AT_ONCE]


@pytest.mark.parametrize("long", HELD, ids=ids(HELD))
async def test_meanwhile_nobody_else_changes_it_and_hears_who_does(
    stocked: Site, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with under_way(stocked, long, monkeypatch) as task_id:
        answer = await long.ask(stocked)
        assert (answer.status, answer.code) == (409, "busy")
        assert answer.message.endswith(f'is busy with {long.kind} "{task_id}".')
        assert [task.id for task in await stocked.tasks()] == [task_id]
    await tasks.wait(stocked.state, task_id, 10)


@pytest.mark.parametrize("long", GONE_AT_ONCE, ids=ids(GONE_AT_ONCE))
async def test_what_goes_with_its_volumes_is_not_there_while_they_go_and_the_task_says_which(
    stocked: Site, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with under_way(stocked, long, monkeypatch) as task_id:
        while (held := await stocked.state.task(task_id)).record.phase != "removing volume 1 of 1":
            await tasks.after(stocked.state, task_id, held.version, 10)
        assert (await long.ask(stocked)).status == 404
        assert [task.id for task in await stocked.tasks()] == [task_id]
    await tasks.wait(stocked.state, task_id, 10)


@pytest.mark.parametrize("long", ALL, ids=ids(ALL))
async def test_while_its_server_lives_nobody_ends_it_and_afterwards_another_does(
    stocked: Site, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with under_way(stocked, long, monkeypatch) as task_id:
        assert (await leftovers.end_abandoned(stocked.state))[1] == 0
        await stocked.app[SESSION].state.store.aclose()
        assert (await leftovers.end_abandoned(stocked.state))[1] == 1
        with pytest.raises(tasks.TaskProblem, match=f"it ended, or lost the cluster store, during the {long.kind}"):
            await tasks.wait(stocked.state, task_id, 10)


@pytest.fixture
def stubborn(stocked: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[[Long], None]:
    async def fail(*_args: Any, **_more: Any) -> None:
        raise PoolUnavailable(name="local", reason="it is stubborn")

    return lambda long: monkeypatch.setattr(long.actor(stocked), long.act, fail)


@pytest.mark.parametrize("long", ALL, ids=ids(ALL))
async def test_a_failure_is_told_to_who_waits_and_by_the_task(
    stocked: Site, long: Long, stubborn: Callable[[Long], None]
) -> None:
    stubborn(long)
    answer = await long.ask(stocked)
    assert (answer.status, "it is stubborn" in answer.message) == (409 if long is NO_VM else 503, True)
    task = await only_task(stocked)
    assert (task.status, task.problem) == (TaskStatus.FAILED, {"code": answer.code, "message": answer.message})


@pytest.mark.parametrize("long", ALL, ids=ids(ALL))
async def test_a_failure_that_nobody_waits_for_is_told_by_the_task(
    stocked: Site, long: Long, stubborn: Callable[[Long], None]
) -> None:
    stubborn(long)
    answer = await long.ask(stocked, wait="false")
    assert (answer.status, answer.message) == (200, long.doing)
    with pytest.raises(tasks.TaskProblem, match="it is stubborn"):
        await tasks.wait(stocked.state, answer.body["task"], 10)


REFUSED = [
    ("DELETE", "/provisioner/ova/absent", {}, 404, 'No OVA "absent".'),
    ("DELETE", f"{STORAGE}/pool/vms", {}, 400, 'Argument "yes-i-really-mean-it" must be "yes".'),
    ("DELETE", "/vm/absent", {"delete_disks": "true"}, 404, 'No VM "absent".'),
    ("DELETE", "/vm/db", {"delete_disks": "true"}, 409, "has snapshots, so the VM cannot be removed with it."),
    ("DELETE", VOLUME, {}, 409, 'Volume "local/disk0" is in use by VM "db".'),
    ("DELETE", f"{STORAGE}/volume/local/held", {}, 409, 'Volume "local/held" has 1 snapshot.'),
    ("DELETE", f"{STORAGE}/volume/local/absent", {}, 404, 'No volume "local/absent".'),
    ("POST", SNAPSHOT, {}, 409, 'Snapshot "local/disk0@s1" exists already.'),
    ("POST", f"{STORAGE}/snapshot/local/absent/s1", {}, 404, 'No volume "local/absent".'),
    ("POST", f"{STORAGE}/snapshot/local/disk0/absent/rollback", {}, 404, 'No snapshot "local/disk0@absent".'),
    ("DELETE", f"{STORAGE}/snapshot/local/disk0/absent", {}, 404, 'No snapshot "local/disk0@absent".'),
    ("PUT", VOLUME, {"new_size": "4K"}, 409, "shrinking it to 4K would cut off its end unless forced."),
    ("PUT", VOLUME, {"new_size": "8000P"}, 507, 'Pool "local" has too little space left.'),
    ("PUT", f"{STORAGE}/volume/local/absent", {"new_size": "4K"}, 404, 'No volume "local/absent".'),
    ("POST", f"{VOLUME}/clone", {"new_volume": "bare"}, 409, 'Volume "local/bare" exists already.'),
]


@pytest.mark.parametrize("wait", ["true", "false"])
@pytest.mark.parametrize(("method", "path", "params", "status", "said"), REFUSED)
async def test_what_is_refused_is_refused_at_once_and_leaves_no_task(
    stocked: Site, method: str, path: str, params: dict[str, str], status: int, said: str, wait: str
) -> None:
    await stocked.define("db", documents.disk("local/disk0"))
    await stocked.pool.create("held", MIB)
    await stocked.pool.snapshot("held", "s1")
    before = await stocked.everything()
    answer = await stocked.ask(method, path, {**params, "wait": wait})
    assert (answer.status, answer.message.endswith(said)) == (status, True), answer.body
    assert await stocked.tasks() == []
    assert await stocked.everything() == before


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [("POST", f"{VOLUME}/clone", {"new_volume": "new"}), ("PUT", VOLUME, {"new_name": "new"})],
)
async def test_a_name_that_somebody_is_about_to_use_is_not_taken(
    stocked: Site, method: str, path: str, params: dict[str, str]
) -> None:
    async with stocked.state.store.lock("volume.local.new", "the making of a VM"):
        answer = await stocked.ask(method, path, params)
    assert (answer.status, answer.message) == (409, 'Volume "local/new" is busy with the making of a VM.')
    assert (await found(stocked), await stocked.tasks()) == (BEFORE, [])


OPEN = [
    ("DELETE", f"{STORAGE}/volume/local/bare", {}),
    ("POST", f"{SNAPSHOT}/rollback", {}),
    ("POST", f"{STORAGE}/snapshot/local/disk0/s2", {}),
    ("PUT", VOLUME, {"new_size": "2M"}),
    ("POST", f"{VOLUME}/clone", {"new_volume": "copy"}),
]


@pytest.mark.parametrize(("method", "path", "params"), OPEN)
async def test_a_volume_that_a_program_has_open_is_refused_at_once(
    stocked: Site, method: str, path: str, params: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_open(_name: str) -> bool:
        return True

    monkeypatch.setattr(stocked.pool, "is_open", is_open)
    answer = await stocked.ask(method, path, params)
    assert (answer.status, answer.code) == (409, "in_use")
    assert answer.message.endswith("is in use by a running guest or another program.")
    assert await stocked.tasks() == []


async def test_a_volume_of_a_running_guest_is_grown_by_its_node_as_the_task_that_is_answered(site: Site) -> None:
    await site.pool.create("disk0", MIB)
    await site.define("web1", documents.disk("local/disk0"))
    started = await site.ask("POST", "/vm/web1/state", {"state": "start", "wait": "true"})
    assert started.status == 200, started.body
    answer = await GROW.ask(site, wait="false")
    assert answer.message == GROW.doing
    task = await tasks.wait(site.state, answer.body["task"], 10)
    assert (task.kind, task.node, (await site.pool.volume("disk0")).size) == ("grow", "hv1", 2 * MIB)
    assert (await site.ask("PUT", VOLUME, {"new_size": 3 * MIB})).message.startswith('Resized volume "disk0" to')
    refused = await site.ask("PUT", VOLUME, {"new_size": MIB, "force": "true"})
    assert (refused.status, refused.message) == (409, 'Volume "local/disk0" is in use by VM "web1".')
    assert [task.kind for task in await site.tasks()] == ["grow", "grow"]
