"""VMs being made of an OVA: tasks, whose copies stay nowhere without a VM."""

from __future__ import annotations

import asyncio

import pytest

from pvc.cluster import leftovers, tasks
from pvc.errors import PoolUnavailable
from pvc.model.records import TaskStatus
from pvc.server.session import SESSION
from pvc.server.working import AT_WORK
from pvc.storage.base import Heard, Volume
from tests.unit.server.appliance import MAPPED, define, stock
from tests.unit.server.site import Site


@pytest.fixture
async def stocked(site: Site) -> Site:
    await stock(site)
    return site


COPIES = ["web1_vda", "web1_vdb"]


class Copying:
    """Lets the first copy be made, and stops before the second."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self._clone, self.second, self.go = site.pool.clone, asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(site.pool, "clone", self.clone)

    async def clone(self, name: str, new_name: str, heard: Heard) -> Volume:
        if new_name == COPIES[1]:
            self.second.set()
            await self.go.wait()
        return await self._clone(name, new_name, heard)


async def copies(site: Site) -> list[str]:
    return [volume.name for volume in await site.pool.volumes() if volume.name in COPIES]


async def test_a_definition_that_nobody_waits_for_is_a_task_that_says_which_disk_is_copied(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying = Copying(stocked, monkeypatch)
    answer = await define(stocked, network=MAPPED, wait=False)
    assert (answer.status, answer.message) == (200, 'Adding VM "web1" from OVA "app".')
    await copying.second.wait()
    while (held := await stocked.state.task(answer.body["task"])).record.phase != "copying disk 2 of 2":
        await tasks.after(stocked.state, answer.body["task"], held.version, 10)
    assert (held.record.kind, held.record.name) == (leftovers.DEFINITION, "web1")
    made = await stocked.ask("POST", "/storage/ceph/volume/local/web1_vdb", {"size": "1M"})
    assert (made.status, made.message) == (409, 'Volume "local/web1_vdb" is busy with a change of VM "web1".')
    copying.go.set()
    task = await tasks.wait(stocked.state, answer.body["task"], 10)
    [vm] = (await stocked.ask("GET", "/vm/web1")).body
    assert (task.target, task.result) == (
        ("vm", vm["uuid"]),
        f'Added VM "web1" with UUID "{vm["uuid"]}" from OVA "app".',
    )


async def test_a_cancelled_definition_leaves_nothing(stocked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before, copying = await stocked.everything(), Copying(stocked, monkeypatch)
    answer = await define(stocked, network=MAPPED, wait=False)
    await copying.second.wait()
    assert await copies(stocked) == COPIES[:1]
    assert (await stocked.ask("POST", f"/tasks/{answer.body['task']}", {"action": "cancel"})).status == 200
    with pytest.raises(tasks.TaskProblem, match="was cancelled"):
        await tasks.wait(stocked.state, answer.body["task"], 10)
    assert await stocked.everything() == before


async def test_copies_of_a_server_that_loses_the_store_are_cleared_by_another(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying = Copying(stocked, monkeypatch)
    answer = await define(stocked, network=MAPPED, wait=False)
    await copying.second.wait()
    await leftovers.end_definitions(stocked.state, {"local": stocked.pool}, "hv1")
    assert await copies(stocked) == COPIES[:1]
    await stocked.app[SESSION].state.store.aclose()
    await asyncio.gather(*stocked.app[AT_WORK], return_exceptions=True)
    assert await copies(stocked) == COPIES[:1]
    await leftovers.end_definitions(stocked.state, {"local": stocked.pool}, "hv1")
    assert await copies(stocked) == []
    with pytest.raises(tasks.TaskProblem, match="it ended, or lost the cluster store, during the definition"):
        await tasks.wait(stocked.state, answer.body["task"], 10)


async def test_a_copy_that_cannot_be_removed_now_is_not_forgotten(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_name: str, _new_name: str, _heard: Heard) -> None:
        raise PoolUnavailable(name="local", reason="it is stubborn")

    async def stay(_name: str) -> None:
        raise PoolUnavailable(name="local", reason="it stays")

    copying, remove = Copying(stocked, monkeypatch), stocked.pool.remove
    asking = asyncio.create_task(define(stocked, network=MAPPED))
    await copying.second.wait()
    monkeypatch.setattr(copying, "_clone", fail)
    monkeypatch.setattr(stocked.pool, "remove", stay)
    copying.go.set()
    assert "it is stubborn" in (await asking).message
    pools = {"local": stocked.pool}
    await leftovers.end_definitions(stocked.state, pools, "hv1")
    [task] = [task for task in await stocked.tasks() if task.kind == leftovers.DEFINITION]
    assert (task.status, await copies(stocked)) == (TaskStatus.RUNNING, COPIES[:1])
    monkeypatch.setattr(stocked.pool, "remove", remove)
    await leftovers.end_definitions(stocked.state, pools, "hv1")
    assert (await stocked.state.task(task.id)).record.status is TaskStatus.FAILED
    assert await copies(stocked) == []
