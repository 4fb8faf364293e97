"""Devices come and go: the configuration and the guest together, or neither."""

from __future__ import annotations

import asyncio

import pytest

from pvc.cluster import devices, power, tasks, volumes
from pvc.cluster.devices import When
from pvc.cluster.state import Held
from pvc.cluster.tasks import TaskProblem
from pvc.errors import Busy, Conflict, HypervisorRefused, InUse, NodeUnavailable, NoRoom, NotFound
from pvc.hypervisor.fake import FakeHypervisor
from pvc.model.records import Power, Task, TaskStatus
from pvc.store.base import Delete
from pvc.units import MIB
from tests.parts import documents
from tests.unit.agent.lab import Lab

MAC = "52:54:00:00:00:01"
DISK, NIC = documents.disk("local/data", "vdb"), documents.nic(MAC)


class Refusing(FakeHypervisor):
    async def attach(self, uuid: str, device_xml: str) -> None:
        raise HypervisorRefused(reason="no such bus")


async def both(lab: Lab, uuid: str) -> tuple[list[str], list[str]]:
    return sorted(lab.hypervisor.devices(uuid)), sorted(await lab.configured(uuid))


async def only_task(lab: Lab) -> Task:
    [held] = await lab.state.tasks()
    assert isinstance(held, Held)
    return held.record


@pytest.mark.parametrize(("device", "name"), [(DISK, "vdb"), (NIC, MAC)])
async def test_a_device_is_attached_and_detached_in_the_guest_and_its_configuration(
    lab: Lab, device: str, name: str
) -> None:
    await lab.pool.create("data", MIB)
    async with lab.agent():
        uuid = await lab.running()
        task = await lab.change(uuid, devices.ATTACH, device)
        assert task is not None
        assert task.result == 'Attached device to VM "web1".'
        assert await both(lab, uuid) == (sorted([name, "vda"]),) * 2
        assert (await lab.vm(uuid)).task == ""
        task = await lab.change(uuid, devices.DETACH, device)
        assert task is not None
        assert task.result == 'Detached device from VM "web1".'
        assert await both(lab, uuid) == (["vda"], ["vda"])


async def test_a_device_of_a_vm_that_is_off_changes_the_configuration_alone(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.define()
        await lab.look(agent)
        assert await lab.change(uuid, devices.ATTACH, NIC) is None
        assert await lab.configured(uuid) == ["vda", MAC]
    assert lab.acts(uuid) == []


async def test_only_the_configuration_is_changed_where_that_is_asked(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        assert await lab.change(uuid, devices.ATTACH, NIC, When.LATER) is None
        assert await both(lab, uuid) == (["vda"], sorted([MAC, "vda"]))


async def test_a_guest_that_refuses_keeps_its_configuration_and_is_free_again(lab: Lab) -> None:
    lab.hypervisor = Refusing()
    async with lab.agent():
        uuid = await lab.running()
        with pytest.raises(TaskProblem, match="The hypervisor refused: no such bus") as caught:
            await lab.change(uuid, devices.ATTACH, NIC)
        assert caught.value.code == "hypervisor_refused"
        assert await both(lab, uuid) == (["vda"], ["vda"])
        assert (await lab.vm(uuid)).task == ""
    task = await only_task(lab)
    assert (task.status, task.problem["code"]) == (TaskStatus.FAILED, "hypervisor_refused")


async def test_a_bridge_that_is_missing_is_told_before_libvirt_is_asked(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        with pytest.raises(TaskProblem, match='Node "hv1" has no bridge "vmbr7"') as caught:
            await lab.change(uuid, devices.ATTACH, documents.nic(MAC, "vmbr7"))
        assert caught.value.code == "conflict"
        assert await both(lab, uuid) == (["vda"], ["vda"])
    assert lab.acts(uuid) == ["start"]


async def test_a_guest_that_clings_to_a_device_keeps_it_everywhere(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        await lab.change(uuid, devices.ATTACH, NIC)
        lab.hypervisor.make_clinging(uuid)
        with pytest.raises(
            TaskProblem, match=r'The release of device ".*" by the guest did not happen within'
        ) as caught:
            await lab.change(uuid, devices.DETACH, NIC)
        assert caught.value.code == "timeout"
        assert await both(lab, uuid) == (sorted([MAC, "vda"]),) * 2
        assert (await lab.vm(uuid)).task == ""


async def test_what_makes_no_sense_is_refused_before_anything_is_done(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        await lab.change(uuid, devices.ATTACH, NIC)
        with pytest.raises(Conflict, match=f'Network interface "{MAC}" is in VM "web1" already'):
            await lab.change(uuid, devices.ATTACH, NIC)
        with pytest.raises(NotFound, match='No disk of VM "web1 vdb"'):
            await lab.change(uuid, devices.DETACH, DISK)
    assert lab.acts(uuid) == ["start", "attach"]


async def test_another_device_in_its_place_is_not_taken_for_it(lab: Lab) -> None:
    """The configuration was changed without the guest, which still has the old disk in that place."""
    for name in ("data", "other"):
        await lab.pool.create(name, MIB)
    new = documents.disk("local/other", "vdb")
    async with lab.agent():
        uuid = await lab.running()
        await lab.change(uuid, devices.ATTACH, DISK)
        await lab.change(uuid, devices.DETACH, DISK, When.LATER)
        with pytest.raises(TaskProblem, match="the running guest has another device in that place"):
            await lab.change(uuid, devices.ATTACH, new)
        assert await lab.configured(uuid) == ["vda"]
        await lab.change(uuid, devices.ATTACH, new, When.LATER)
        await lab.change(uuid, devices.DETACH, new)
        assert await both(lab, uuid) == (["vda", "vdb"], ["vda"])


class Full(FakeHypervisor):
    """Its guests have no port left."""

    async def xml(self, uuid: str) -> str:
        return (await super().xml(uuid)).replace("pcie-root-port", "pcie-to-pci-bridge")


async def test_a_guest_without_a_free_slot_is_not_asked(lab: Lab) -> None:
    lab.hypervisor = Full()
    async with lab.agent():
        uuid = await lab.running()
        await lab.becomes(uuid, lambda _vm, seen: seen.free_slots == 0)
        with pytest.raises(NoRoom, match='VM "web1" has no free slot for another device'):
            await lab.change(uuid, devices.ATTACH, NIC)
        assert await lab.configured(uuid) == ["vda"]
    assert lab.acts(uuid) == ["start"]


async def test_while_a_task_holds_the_vm_no_other_is_begun(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        await lab.change(uuid, devices.ATTACH, NIC)
        lab.hypervisor.make_clinging(uuid)
        first = asyncio.create_task(lab.change(uuid, devices.DETACH, NIC))
        await lab.becomes(uuid, lambda vm, _seen: bool(vm.task))
        with pytest.raises(Busy, match='VM "web1" is busy with task "'):
            await lab.change(uuid, devices.ATTACH, DISK)
        with pytest.raises(TaskProblem):
            await first


async def test_a_stop_while_a_task_is_under_way_is_done_after_it(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        await lab.change(uuid, devices.ATTACH, NIC)
        lab.hypervisor.make_clinging(uuid)
        first = asyncio.create_task(lab.change(uuid, devices.DETACH, NIC))
        await lab.becomes(uuid, lambda vm, _seen: bool(vm.task))
        await lab.ask("web1", "stop")
        with pytest.raises(TaskProblem):
            await first
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid)[-1] == "stop"
    assert await lab.configured(uuid) == ["vda", MAC]


async def test_a_guest_that_ends_meanwhile_has_the_device_at_its_next_start(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        await lab.becomes(uuid, power.settled)
    task = await lab.asked(uuid, devices.ATTACH, NIC)
    lab.hypervisor.power_off(uuid)
    async with lab.agent():
        await tasks.wait(lab.state, task.id, 10)
    assert await lab.configured(uuid) == ["vda", MAC]


async def test_what_is_under_way_to_a_vm_no_other_gets(lab: Lab) -> None:
    """The configuration does not have it yet, and the server that was asked may be gone."""
    await lab.pool.create("data", MIB)
    first, second = await lab.define("first"), await lab.define("second")
    await lab.asked(first, devices.ATTACH, DISK)
    with pytest.raises(InUse, match='Volume "local/data" is in use by VM "first"'):
        await lab.change(second, devices.ATTACH, DISK)
    with pytest.raises(InUse):
        await volumes.check_unused(lab.state, "local/data")
    third = await lab.define("third")
    await lab.asked(third, devices.ATTACH, NIC)
    with pytest.raises(Conflict, match=f'MAC address "{MAC}" belongs to VM "third"'):
        await lab.change(second, devices.ATTACH, NIC)
    assert await lab.configured(second) == ["vda"]


async def test_of_two_vms_that_ask_for_one_mac_at_once_one_gets_it(lab: Lab) -> None:
    uuids = [await lab.define("first"), await lab.define("second")]
    asked = (lab.change(uuid, devices.ATTACH, NIC) for uuid in uuids)
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(one) in (Busy, Conflict) for one in outcomes) == [False, True]
    assert sorted([await lab.configured(uuid) for uuid in uuids]) == [["vda"], ["vda", MAC]]


async def test_a_task_of_an_unknown_kind_fails_and_frees_the_vm(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        task = await lab.asked(uuid, "levitate", NIC)
        with pytest.raises(TaskProblem, match='this agent does not know tasks of kind "levitate"'):
            await tasks.wait(lab.state, task.id, 10)
        assert (await lab.vm(uuid)).task == ""


async def test_a_task_without_its_record_frees_the_vm(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
    task = await lab.asked(uuid, devices.ATTACH, NIC)
    held = await lab.state.task(task.id)
    await lab.state.store.commit(Delete(lab.state.paths.task(task.id), held.version))
    async with lab.agent() as agent:
        await lab.look(agent)
        await lab.becomes(uuid, lambda vm, _seen: not vm.task)
    assert await lab.configured(uuid) == ["vda"]


async def test_the_removal_of_a_vm_ends_its_task(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        await lab.change(uuid, devices.ATTACH, NIC)
        lab.hypervisor.make_clinging(uuid)
        change = asyncio.create_task(lab.change(uuid, devices.DETACH, NIC))
        await lab.becomes(uuid, lambda vm, _seen: bool(vm.task))
        held = await lab.state.vm(uuid)
        await lab.state.store.commit(Delete(lab.state.paths.vm(uuid), held.version))
        with pytest.raises(TaskProblem, match=f'No VM "{uuid}"'):
            await change


async def test_without_its_agent_a_running_vm_is_not_changed(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
    with pytest.raises(NodeUnavailable):
        await lab.change(uuid, devices.ATTACH, NIC)
    assert await lab.configured(uuid) == ["vda"]
    assert await lab.state.tasks() == []
    assert (await lab.observed(uuid)).power is Power.RUNNING
