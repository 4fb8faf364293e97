"""Guests start, end, crash and hang as they should, whoever makes them."""

from __future__ import annotations

import pytest

from pvc.cluster import power
from pvc.errors import HypervisorRefused, NodeUnavailable
from pvc.model.records import Desired, How, Power
from pvc.model.states import api_state
from tests.unit.agent.lab import NODE, Agent, Lab


async def shown(lab: Lab, uuid: str) -> tuple[str, str]:
    """State and reason as the API tells them."""
    vm, seen = await lab.vm(uuid), await lab.observed(uuid)
    return api_state(vm, seen), seen.failure or seen.ended


async def test_what_should_run_is_started_once(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await lab.look(agent)
    assert lab.acts(uuid) == ["start"]
    assert await shown(lab, uuid) == ("start", "")


async def test_what_was_asked_before_the_agent_came_is_started(lab: Lab) -> None:
    uuid = await lab.define()
    held = await lab.state.vm(uuid)
    await lab.state.write_vm(
        held, power.asked(held.record, await lab.observed(uuid), "start", force=False, deadline_s=None)
    )
    async with lab.agent():
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start"]


async def test_nobody_can_ask_for_a_start_while_no_agent_runs(lab: Lab) -> None:
    await lab.define()
    with pytest.raises(NodeUnavailable):
        await lab.ask("web1", "start")


async def test_what_is_not_asked_for_is_not_started(lab: Lab) -> None:
    uuid = await lab.define()
    async with lab.agent() as agent:
        await lab.look(agent)
    assert lab.acts(uuid) == []
    assert await shown(lab, uuid) == ("stop", "")


async def test_a_vm_of_another_node_is_left_alone(lab: Lab) -> None:
    uuid = await lab.define(node="hv2")
    held = await lab.state.vm(uuid)
    await lab.state.write_vm(
        held, power.asked(held.record, await lab.observed(uuid), "start", force=False, deadline_s=None)
    )
    async with lab.agent() as agent:
        await lab.look(agent)
    assert lab.acts(uuid) == []


async def test_a_fresh_agent_adopts_what_runs(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
    async with lab.agent() as agent:
        await lab.look(agent)
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start"]


async def test_the_end_of_an_agent_leaves_its_guests_running(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
    assert [one.uuid for one in await lab.hypervisor.domains()] == [uuid]
    assert lab.acts(uuid) == ["start"]


async def test_a_guest_that_powers_itself_off_stays_off_and_it_is_told(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        lab.hypervisor.power_off(uuid)
        await lab.becomes(uuid, lambda _vm, seen: seen.power is Power.OFF)
        await lab.look(agent)
    told = ("stop", "The guest powered itself off.")
    assert await shown(lab, uuid) == told
    async with lab.agent() as agent:
        await lab.look(agent)
        assert await shown(lab, uuid) == told
        assert lab.acts(uuid) == ["start"]
        await lab.ask("web1", "start")
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "start"]
    assert await shown(lab, uuid) == ("start", "")


async def test_a_guest_that_powers_itself_off_while_the_store_is_away_stays_off(lab: Lab) -> None:
    reconciler = lab.reconciler()
    async with lab.agent(reconciler):
        uuid = await lab.running()
    lab.hypervisor.power_off(uuid)
    async with lab.agent(reconciler) as agent:
        await lab.look(agent)
    assert lab.acts(uuid) == ["start"]
    assert await shown(lab, uuid) == ("stop", "The guest powered itself off.")


async def test_a_guest_that_ended_while_nobody_looked_is_started_again(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
    lab.hypervisor.vanish(uuid)
    async with lab.agent():
        await lab.becomes(uuid, lambda vm, seen: power.settled(vm, seen) and lab.hypervisor.starts[uuid] == 2)
    assert lab.acts(uuid) == ["start", "start"]


async def test_a_guest_that_vanished_without_a_word_is_waited_for_and_then_started(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await lab.look(agent)
        lab.hypervisor.vanish(uuid)
        await lab.look(agent)
        assert lab.acts(uuid) == ["start"]
        await lab.wait_s(agent, lab.settings.event_grace_s)
        await lab.look(agent)
    assert lab.acts(uuid) == ["start", "start"]


async def crash(lab: Lab, agent: Agent, uuid: str, crashes: int) -> None:
    lab.hypervisor.crash(uuid)
    await lab.becomes(uuid, lambda _vm, seen: seen.power is Power.OFF and seen.crashes == crashes)
    await lab.look(agent)


async def test_a_crash_is_followed_by_a_start_after_a_growing_wait(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        for crashes, wait_s in enumerate((1.0, 2.0, 4.0, 8.0), 1):
            await crash(lab, agent, uuid, crashes)
            await lab.wait_s(agent, wait_s - 0.5)
            assert lab.acts(uuid) == ["start"] * crashes
            assert await shown(lab, uuid) == ("start", "")
            await lab.wait_s(agent, 0.5)
            await lab.becomes(uuid, power.settled)
            assert lab.acts(uuid) == ["start"] * (crashes + 1)


async def test_a_crash_after_a_long_run_is_the_first_again(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await crash(lab, agent, uuid, 1)
        await lab.wait_s(agent, 1.0)
        await lab.becomes(uuid, power.settled)
        await lab.wait_s(agent, 600.0)
        await crash(lab, agent, uuid, 1)


async def test_asking_for_a_start_does_not_wait_for_the_crash_before(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await crash(lab, agent, uuid, 1)
        await lab.ask("web1", "stop")
        await lab.ask("web1", "start")
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "start"]


async def test_a_stop_ends_the_wait_after_a_crash(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await crash(lab, agent, uuid, 1)
        await lab.ask("web1", "stop")
        await lab.wait_s(agent, 600)
    assert lab.acts(uuid) == ["start"]
    assert await shown(lab, uuid) == ("stop", "")


async def test_a_start_that_is_refused_is_told_and_not_tried_again_until_asked(lab: Lab) -> None:
    lab.hypervisor.refuse_starts("the machine is on fire")
    async with lab.agent() as agent:
        uuid = await lab.define()
        vm = await lab.ask("web1", "start")
        with pytest.raises(HypervisorRefused, match="the machine is on fire"):
            await power.wait(lab.state, vm, 10)
        await lab.wait_s(agent, 3600)
        assert await shown(lab, uuid) == ("fail", "the machine is on fire")
    async with lab.agent() as agent:
        await lab.look(agent)
        assert await shown(lab, uuid) == ("fail", "the machine is on fire")
        assert lab.acts(uuid) == ["start"]
        lab.hypervisor.refuse_starts("")
        await lab.ask("web1", "start")
        await lab.becomes(uuid, power.settled)
    assert await shown(lab, uuid) == ("start", "")


async def test_a_vm_whose_volume_is_gone_fails_with_that_reason(lab: Lab) -> None:
    uuid = await lab.define()
    await lab.pool.remove("web1")
    async with lab.agent():
        await lab.ask("web1", "start")
        await lab.becomes(uuid, power.settled)
    assert await shown(lab, uuid) == ("fail", 'No volume "local/web1".')
    assert lab.acts(uuid) == []


async def test_a_shutdown_asks_the_guest(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        await lab.ask("web1", "shutdown")
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "shutdown"]
    assert (await shown(lab, uuid))[0] == "stop"


async def test_a_deaf_guest_is_asked_again_and_the_plug_pulled_at_the_deadline(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        lab.hypervisor.make_deaf(uuid)
        await lab.ask("web1", "shutdown", deadline_s=25)
        await lab.look(agent)
        assert lab.acts(uuid) == ["start", "shutdown"]
        assert (await shown(lab, uuid))[0] == "shutdown"
        await lab.wait_s(agent, 9)
        assert lab.acts(uuid) == ["start", "shutdown"]
        await lab.wait_s(agent, 1)
        assert lab.acts(uuid) == ["start", "shutdown", "shutdown"]
        await lab.wait_s(agent, 14)
        assert lab.acts(uuid) == ["start", "shutdown", "shutdown", "shutdown"]
        await lab.wait_s(agent, 1)
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid)[4:] == ["stop"]
    assert (await shown(lab, uuid))[0] == "stop"


async def test_without_a_deadline_the_usual_one_counts(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        lab.hypervisor.make_deaf(uuid)
        await lab.ask("web1", "shutdown")
        await lab.look(agent)
        await lab.wait_s(agent, lab.settings.shutdown_timeout_s - 1)
        assert "stop" not in lab.acts(uuid)
        await lab.wait_s(agent, 1)
        await lab.becomes(uuid, power.settled)


async def test_a_stop_overrides_a_shutdown_under_way(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        lab.hypervisor.make_deaf(uuid)
        await lab.ask("web1", "shutdown")
        await lab.look(agent)
        await lab.ask("web1", "stop")
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "shutdown", "stop"]


async def test_a_paused_guest_is_stopped_because_it_cannot_hear(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        lab.hypervisor.pause(uuid)
        await lab.ask("web1", "shutdown")
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "stop"]


async def test_a_restart_is_a_new_run(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        before = await lab.vm(uuid)
        vm = await lab.ask("web1", "restart")
        assert vm.run == before.run + 1
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "shutdown", "start"]
    assert (await lab.observed(uuid)).run == vm.run


async def test_a_start_during_a_shutdown_lets_the_guest_end_and_starts_it_anew(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        lab.hypervisor.make_deaf(uuid)
        await lab.ask("web1", "shutdown", deadline_s=20)
        await lab.look(agent)
        await lab.ask("web1", "start")
        await lab.look(agent)
        lab.hypervisor.power_off(uuid)
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "shutdown", "start"]


async def test_a_disabled_vm_is_shut_down_and_stays_off(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await lab.ask("web1", "disable")
        await lab.becomes(uuid, power.settled)
        await lab.look(agent)
    assert lab.acts(uuid) == ["start", "shutdown"]
    assert (await shown(lab, uuid))[0] == "disable"
    assert (await lab.vm(uuid)).desired is Desired.DISABLED


async def test_a_vm_stopped_by_hand_on_the_node_stays_off_and_it_is_told(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await lab.hypervisor.stop(uuid)
        await lab.becomes(uuid, lambda _vm, seen: seen.power is Power.OFF)
        await lab.look(agent)
    assert await shown(lab, uuid) == ("stop", "The guest was stopped from outside pvc.")
    assert lab.acts(uuid) == ["start", "stop"]


async def test_every_vm_is_shown_in_one_blob_of_its_node(lab: Lab) -> None:
    async with lab.agent():
        first, second = await lab.running("a"), await lab.running("b")
    assert set((await lab.status()).vms) == {first, second}
    assert not await lab.state.node_alive(NODE)


async def test_a_stop_is_not_softened_by_what_is_asked_for_after_it(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
        vm, seen = await lab.vm(uuid), await lab.observed(uuid)
    pulled = power.asked(vm, seen, "stop", force=False, deadline_s=None)
    assert power.asked(pulled, seen, "disable", force=False, deadline_s=None).how is How.STOP
    assert power.asked(vm, seen, "disable", force=False, deadline_s=None).how is How.SHUTDOWN
