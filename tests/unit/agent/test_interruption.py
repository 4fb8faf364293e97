"""Every step, cut off at every await: a fresh agent goes on, and what it leaves is what was asked for."""

from __future__ import annotations

from itertools import count

import pytest

from pvc.agent import steps
from pvc.agent.steps import Hands
from pvc.cluster import devices, growth, power, tasks
from pvc.cluster.state import Held
from pvc.model.records import VM, Power
from pvc.units import MIB
from tests.parts import documents
from tests.parts.interruption import cut_at
from tests.unit.agent.lab import Lab, session

MAC = "52:54:00:00:{:02x}:01"


def hands(lab: Lab) -> Hands:
    return Hands(lab.state, lab.hypervisor, lab.pools, lab.settings, "qemu")


async def started(lab: Lab, name: str) -> str:
    """A running VM, and nobody who looks after it."""
    async with lab.agent():
        return await lab.running(name)


async def wanted(lab: Lab, name: str, action: str) -> Held[VM]:
    """What is asked for is in the store, and nobody has seen it yet."""
    held = await lab.state.find_vm(name)
    seen = await lab.state.observed(held.record)
    await lab.state.write_vm(held, power.asked(held.record, seen, action, force=False, deadline_s=None))
    return await lab.state.find_vm(name)


async def settled(lab: Lab, uuid: str) -> None:
    async with lab.agent() as agent:
        await lab.becomes(uuid, lambda vm, seen: not vm.task and power.settled(vm, seen))
        await lab.look(agent)


async def test_a_start_cut_off_anywhere_ends_with_one_running_guest(lab: Lab) -> None:
    begun = set()
    for cut in count():
        uuid = await lab.define(f"vm{cut}")
        held = await wanted(lab, f"vm{cut}", "start")
        was_cut = await cut_at(steps.start(hands(lab), held), cut)
        begun.add(uuid in lab.hypervisor.starts)
        await settled(lab, uuid)
        assert lab.hypervisor.starts[uuid] == 1
        assert (await lab.observed(uuid)).power is Power.RUNNING
        assert lab.hypervisor.devices(uuid) == await lab.configured(uuid)
        if not was_cut:
            break
    assert begun == {False, True}
    assert cut > 3


@pytest.mark.parametrize("action", ["shutdown", "stop"])
async def test_an_ending_cut_off_anywhere_ends_with_no_guest(lab: Lab, action: str) -> None:
    step = {"shutdown": steps.shutdown, "stop": steps.stop}[action]
    for cut in count():
        uuid = await started(lab, f"vm{cut}")
        await wanted(lab, f"vm{cut}", action)
        was_cut = await cut_at(step(hands(lab), uuid), cut)
        await settled(lab, uuid)
        assert uuid not in [one.uuid for one in await lab.hypervisor.domains()]
        assert lab.hypervisor.starts[uuid] == 1
        if not was_cut:
            break
    assert cut > 0


@pytest.mark.parametrize("kind", ["disk", "nic"])
@pytest.mark.parametrize("action", [devices.ATTACH, devices.DETACH])
async def test_a_change_of_devices_cut_off_anywhere_is_done_in_both_places(lab: Lab, action: str, kind: str) -> None:
    changed = set()
    for cut in count():
        uuid = await started(lab, f"vm{cut}")
        device, name = documents.nic(MAC.format(cut)), MAC.format(cut)
        if kind == "disk":
            await lab.pool.create(f"data{cut}", MIB)
            device, name = documents.disk(f"local/data{cut}", "vdb"), "vdb"
        if action == devices.DETACH:
            async with lab.agent():
                await lab.change(uuid, devices.ATTACH, device)
        task = await lab.asked(uuid, action, device)
        was_cut = await cut_at(steps.run_task(hands(lab), await lab.state.vm(uuid), Power.RUNNING), cut)
        changed.add((name in lab.hypervisor.devices(uuid), name in await lab.configured(uuid)))
        await settled(lab, uuid)
        await tasks.wait(lab.state, task.id, 10)
        expected = ["vda", name] if action == devices.ATTACH else ["vda"]
        assert sorted(lab.hypervisor.devices(uuid)) == sorted(await lab.configured(uuid)) == sorted(expected)
        assert (await lab.vm(uuid)).task == ""
        assert lab.acts(uuid).count("attach") <= 1 + (action == devices.ATTACH and was_cut)
        assert lab.hypervisor.starts[uuid] == 1
        if not was_cut:
            break
    assert len(changed) == 3, "before, between and after"
    assert cut > 4


async def test_a_change_that_the_guest_refuses_is_cut_off_anywhere_and_leaves_both_places_as_they_were(
    lab: Lab,
) -> None:
    for cut in count():
        uuid = await started(lab, f"vm{cut}")
        device = documents.nic(MAC.format(cut))
        async with lab.agent():
            await lab.change(uuid, devices.ATTACH, device)
        lab.hypervisor.make_clinging(uuid)
        task = await lab.asked(uuid, devices.DETACH, device)
        was_cut = await cut_at(steps.run_task(hands(lab), await lab.state.vm(uuid), Power.RUNNING), cut)
        await settled(lab, uuid)
        with pytest.raises(tasks.TaskProblem, match="did not happen within"):
            await tasks.wait(lab.state, task.id, 10)
        assert sorted(lab.hypervisor.devices(uuid)) == sorted(await lab.configured(uuid)) == [MAC.format(cut), "vda"]
        if not was_cut:
            break
    assert cut > 4


@pytest.mark.parametrize("where", ["guest", "pool"])
async def test_a_growth_cut_off_anywhere_is_done_by_the_next_agent(lab: Lab, where: str) -> None:
    sizes = set()
    for cut in count():
        name = f"vm{cut}"
        uuid = await started(lab, name) if where == "guest" else await lab.define(name)
        power = Power.RUNNING if where == "guest" else Power.OFF
        task = await lab.entrusted(uuid, growth.GROW, {"volume": f"local/{name}", "size": str(2 * MIB)})
        was_cut = await cut_at(steps.run_task(hands(lab), await lab.state.vm(uuid), power), cut)
        sizes.add((await lab.pool.volume(name)).size)
        async with lab.agent():
            await tasks.wait(lab.state, task.id, 10)
        assert (await lab.pool.volume(name)).size == 2 * MIB
        assert (await lab.vm(uuid)).task == ""
        if not was_cut:
            break
    assert sizes == {MIB, 2 * MIB}
    assert cut > 4


class LookedError(Exception):
    pass


def enough() -> None:
    raise LookedError


async def test_an_agent_cut_off_anywhere_leaves_a_fresh_one_to_finish(lab: Lab) -> None:
    """The loop itself, with its steps in the background: cut while it restarts, ends and starts a guest."""
    uuid = await started(lab, "web1")
    for action in ("restart", "shutdown", "start", "stop"):
        await wanted(lab, "web1", action)
        with pytest.raises(LookedError):
            for cut in count():
                await cut_at(session(lab.reconciler(), lab.state, enough), cut)
        assert cut > 4
        await settled(lab, uuid)
    assert lab.hypervisor.starts[uuid] == 3
    assert (await lab.observed(uuid)).power is Power.OFF


async def test_a_start_decided_on_an_outdated_record_is_not_done(lab: Lab) -> None:
    uuid = await started(lab, "web1")
    lab.hypervisor.power_off(uuid)
    held = await lab.state.vm(uuid)
    await lab.ask("web1", "stop")
    assert await steps.start(hands(lab), held) is False
    assert lab.hypervisor.starts[uuid] == 1


async def test_a_task_that_another_agent_ended_is_not_ended_again(lab: Lab) -> None:
    uuid = await started(lab, "web1")
    task = await lab.asked(uuid, devices.ATTACH, documents.nic(MAC.format(0)))
    outdated = await lab.state.vm(uuid)
    await settled(lab, uuid)
    before = await lab.state.vm(uuid), await lab.state.task(task.id)
    await steps.run_task(hands(lab), outdated, Power.RUNNING)
    assert (await lab.state.vm(uuid), await lab.state.task(task.id)) == before
    assert lab.acts(uuid).count("attach") == 1
