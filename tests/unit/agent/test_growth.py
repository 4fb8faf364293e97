"""A volume grows together with what the running guest sees of it, or says why not."""

from __future__ import annotations

import asyncio

import pytest

from pvc.cluster import devices, growth, tasks
from pvc.cluster.devices import When
from pvc.cluster.tasks import TaskProblem
from pvc.errors import Busy, InUse, NodeUnavailable, PoolFull
from pvc.hypervisor.fake import FakeHypervisor
from pvc.model.records import TaskStatus
from pvc.units import MIB
from tests.parts import documents
from tests.unit.agent.lab import Lab


class Refusing(FakeHypervisor):
    async def resize_disk(self, uuid: str, dev: str, size: int) -> None:
        await super().xml(uuid)


async def resize(lab: Lab, size: int, *, volume: str = "web1", shrink: bool = False) -> int:
    """As the server does it; returns the size that it has then."""
    if task := await growth.entrusted(lab.state, lab.pool, volume, size, "me"):
        await tasks.wait(lab.state, task.id, 20)
        return await size_of(lab, volume)
    async with growth.reserved_resizable(lab.state, lab.pool, volume, size, shrink=shrink, holder="me"):
        return (await lab.pool.resize(volume, size, shrink=shrink)).size


async def size_of(lab: Lab, volume: str = "web1") -> int:
    return (await lab.pool.volume(volume)).size


async def test_a_volume_of_a_running_guest_grows_through_the_guest(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        assert await resize(lab, 2 * MIB + 1) == 2 * MIB + 4096 == await size_of(lab)
    assert lab.acts(uuid) == ["start", "resize"]
    [held] = await lab.state.tasks()
    task = held.record  # type: ignore[union-attr]
    assert (task.kind, task.status, task.who) == (growth.GROW, TaskStatus.DONE, "me")
    assert task.result == 'Resized volume "local/web1" to size "2.0M".'


async def test_a_volume_of_a_vm_that_is_off_grows_alone(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.define()
        assert await resize(lab, 2 * MIB) == 2 * MIB
    assert lab.acts(uuid) == []
    assert await lab.state.tasks() == []


async def test_a_volume_that_only_the_configuration_has_grows_alone(lab: Lab) -> None:
    await lab.pool.create("data", MIB)
    async with lab.agent():
        uuid = await lab.running()
        await lab.change(uuid, devices.ATTACH, documents.disk("local/data", "vdb"), When.LATER)
        assert await resize(lab, 2 * MIB, volume="data") == 2 * MIB
    assert lab.acts(uuid) == ["start"]


@pytest.mark.parametrize("shrink", [True, False])
async def test_a_volume_does_not_shrink_under_a_running_guest(lab: Lab, shrink: bool) -> None:
    async with lab.agent():
        await lab.running()
        with pytest.raises(InUse, match='Volume "local/web1" is in use by VM "web1"'):
            await resize(lab, MIB // 2, shrink=shrink)
        assert await size_of(lab) == MIB


async def test_a_task_that_would_shrink_is_refused_by_the_agent_too(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        task = await lab.entrusted(uuid, growth.GROW, {"volume": "local/web1", "size": "4096"})
        with pytest.raises(TaskProblem, match="shrinks only while its VM is off"):
            await tasks.wait(lab.state, task.id, 10)
        assert (await size_of(lab), (await lab.vm(uuid)).task) == (MIB, "")
    assert lab.acts(uuid) == ["start"]


async def test_a_guest_that_grew_without_its_volume_is_reported(lab: Lab) -> None:
    lab.hypervisor = Refusing()
    async with lab.agent():
        uuid = await lab.running()
        with pytest.raises(TaskProblem, match='the volume "local/web1" has 1048576 bytes after it was resized'):
            await resize(lab, 2 * MIB)
        assert (await lab.vm(uuid)).task == ""


async def test_a_guest_that_ends_meanwhile_leaves_the_growth_to_the_pool(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
    task = await lab.entrusted(uuid, growth.GROW, {"volume": "local/web1", "size": str(2 * MIB)})
    lab.hypervisor.power_off(uuid)
    async with lab.agent():
        await tasks.wait(lab.state, task.id, 10)
    assert await size_of(lab) == 2 * MIB


async def test_what_cannot_be_is_refused_before_anything_is_done(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        with pytest.raises(PoolFull):
            await resize(lab, 1 << 60)
        await lab.change(uuid, devices.ATTACH, documents.nic("52:54:00:00:00:01"))
        lab.hypervisor.make_clinging(uuid)
        detaching = lab.change(uuid, devices.DETACH, documents.nic("52:54:00:00:00:01"))
        first = asyncio.create_task(detaching)
        await lab.becomes(uuid, lambda vm, _seen: bool(vm.task))
        with pytest.raises(Busy, match='VM "web1" is busy with task'):
            await resize(lab, 2 * MIB)
        with pytest.raises(TaskProblem):
            await first
    with pytest.raises(NodeUnavailable):
        await resize(lab, 2 * MIB)
    assert await size_of(lab) == MIB
