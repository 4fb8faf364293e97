"""What the agent stands on fails: it decides nothing, says what is wrong, and goes on when it is over."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from pvc.cluster import power
from pvc.errors import HypervisorUnavailable, NodeUnavailable, PoolUnavailable, SessionLost, Timeout
from pvc.hypervisor import domxml
from pvc.hypervisor.base import Seen
from pvc.hypervisor.fake import FakeHypervisor
from pvc.model.records import Desired, Power, encode
from pvc.storage.base import Volume
from pvc.storage.directory import DirectoryPool
from pvc.store.base import Create, Put
from tests.parts import documents
from tests.unit.agent.lab import NODE, Agent, Lab


async def go_away(lab: Lab, agent: Agent, reason: str) -> None:
    lab.away = reason
    await lab.look(agent)


async def test_while_the_hypervisor_is_away_nothing_is_decided_and_it_is_told(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        other = await lab.define("web2")
        before = await lab.observed(uuid)
        await go_away(lab, agent, "no libvirtd")
        await lab.ask("web1", "stop")
        with pytest.raises(NodeUnavailable, match="no libvirtd"):
            await lab.ask("web2", "start")
        await lab.wait_s(agent, 3600)
        status = await lab.status()
        assert status.problem == "The hypervisor is not available: no libvirtd"
        assert status.vms[uuid] == before
        assert lab.acts(uuid) == ["start"]
        await go_away(lab, agent, "")
        await lab.becomes(uuid, power.settled)
        assert (await lab.status()).problem == ""
        await lab.ask("web2", "start")
        await lab.becomes(other, power.settled)
    assert lab.acts(uuid) == ["start", "stop"]


async def test_an_agent_that_begins_without_its_hypervisor_waits_for_it(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
    lab.away = "no libvirtd"
    lab.hypervisor.go_away(lab.away)
    async with lab.agent() as agent:
        assert (await lab.status()).problem
        assert (await lab.observed(uuid)).power is Power.RUNNING
        await go_away(lab, agent, "")
        await lab.look(agent)
    assert lab.acts(uuid) == ["start"]


class HalfDeaf(FakeHypervisor):
    """Answers everything but the list of domains."""

    listless = False

    async def domains(self) -> list[Seen]:
        if self.listless:
            raise HypervisorUnavailable(reason="no list")
        return await super().domains()


async def test_a_list_that_could_not_be_had_is_not_taken_for_nothing_runs(lab: Lab) -> None:
    lab.hypervisor = hypervisor = HalfDeaf()
    async with lab.agent() as agent:
        uuid = await lab.running()
        hypervisor.listless = True
        await lab.wait_s(agent, 3600)
        assert (await lab.observed(uuid)).power is Power.RUNNING
        assert (await lab.status()).problem == "The hypervisor is not available: no list"
        hypervisor.listless = False
        await lab.look(agent)
    assert lab.acts(uuid) == ["start"]
    assert [one.uuid for one in await hypervisor.domains()] == [uuid]


async def test_a_lost_session_ends_the_run_and_the_next_goes_on(lab: Lab) -> None:
    reconciler = lab.reconciler()
    async with lab.agent(reconciler) as agent:
        uuid = await lab.running()
        await agent.state.store.aclose()
        with pytest.raises(SessionLost):
            async with asyncio.timeout(10):
                await agent.task
    assert lab.acts(uuid) == ["start"]
    async with lab.agent(reconciler):
        await lab.ask("web1", "restart")
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "shutdown", "start"]


async def test_a_deadline_goes_on_over_a_lost_session(lab: Lab) -> None:
    reconciler = lab.reconciler()
    async with lab.agent(reconciler) as agent:
        uuid = await lab.running()
        lab.hypervisor.make_deaf(uuid)
        await lab.ask("web1", "shutdown", deadline_s=25)
        await lab.look(agent)
    lab.clock.now += 25
    async with lab.agent(reconciler):
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start", "shutdown", "stop"]


async def test_a_status_that_cannot_be_read_is_written_anew(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.running()
    path = lab.state.paths.node_status(NODE)
    entry = await lab.state.store.get(path)
    await lab.state.store.commit(Put(path, b"{", entry.version))
    assert "cannot be read" in (await lab.status()).problem
    async with lab.agent() as agent:
        await lab.look(agent)
        assert (await lab.observed(uuid)).power is Power.RUNNING
    assert (await lab.status()).problem == ""
    assert lab.acts(uuid) == ["start"]


async def test_a_record_that_cannot_be_read_stops_no_other_vm(lab: Lab) -> None:
    uuid, broken = await lab.define(), lab.state.new_uuid()
    await lab.state.store.commit(Create(lab.state.paths.vm(broken), b"not JSON"))
    async with lab.agent():
        await lab.ask("web1", "start")
        await lab.becomes(uuid, power.settled)
        assert (await lab.status()).strays == ()
    assert lab.acts(uuid) == ["start"]


async def test_a_record_that_became_unreadable_leaves_its_guest_alone(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        held = await lab.state.vm(uuid)
        await lab.state.store.commit(Put(lab.state.paths.vm(uuid), b"{}", held.version))
        await lab.look(agent)
        assert (await lab.status()).strays == ()
        assert lab.acts(uuid) == ["start"]
        held_again = await lab.state.store.get(lab.state.paths.vm(uuid))
        await lab.state.store.commit(Put(lab.state.paths.vm(uuid), encode(held.record), held_again.version))
        await lab.look(agent)
        await lab.becomes(uuid, power.settled)
    assert lab.acts(uuid) == ["start"]


async def test_a_stray_is_reported_and_not_touched(lab: Lab) -> None:
    stray = lab.state.new_uuid()
    await lab.hypervisor.start(documents.vm("mine", uuid=stray))
    async with lab.agent() as agent:
        await lab.wait_s(agent, 3600)
        assert (await lab.status()).strays == ("mine",)
        assert stray not in (await lab.status()).vms
    assert lab.acts(stray) == ["start"]


async def test_a_vm_of_another_node_that_runs_here_is_a_stray(lab: Lab) -> None:
    uuid = await lab.define("web1", node="hv2")
    await lab.hypervisor.start((await lab.vm(uuid)).xml)
    async with lab.agent() as agent:
        await lab.look(agent)
        assert (await lab.status()).strays == ("web1",)
    assert lab.acts(uuid) == ["start"]


async def test_a_guest_started_by_hand_under_the_uuid_of_a_stopped_vm_is_shut_down(lab: Lab) -> None:
    uuid = await lab.define()
    await lab.hypervisor.start((await lab.vm(uuid)).xml)
    async with lab.agent():
        await lab.becomes(uuid, lambda vm, seen: seen.power is Power.OFF)
    assert (await lab.vm(uuid)).desired is Desired.STOPPED
    assert lab.acts(uuid) == ["start", "shutdown"]


async def test_a_start_that_got_as_far_as_the_guest_is_not_done_twice(lab: Lab) -> None:
    uuid = await lab.define()
    async with lab.agent() as agent:
        lab.hypervisor.refuse_starts("")
        await lab.ask("web1", "start")
        await lab.becomes(uuid, power.settled)
        await lab.look(agent)
    xml = await lab.hypervisor.xml(uuid)
    assert f'<pvc:run xmlns:pvc="{domxml.NAMESPACE}">1</pvc:run>' in xml
    assert lab.hypervisor.starts[uuid] == 1


async def test_a_node_joins_again_only_when_its_earlier_session_is_over(lab: Lab) -> None:
    async with lab.agent() as first:
        second = asyncio.create_task(_joined(lab))
        await lab.look(first)
        assert not second.done()
    async with asyncio.timeout(10):
        await second


async def _joined(lab: Lab) -> None:
    async with lab.agent():
        pass


class Silent:
    """A pool that answers nothing as long as it has a reason."""

    def __init__(self, pool: DirectoryPool) -> None:
        self.reason, self.source, self.secret, self._pool = "no answer", pool.source, pool.secret, pool

    async def volume(self, name: str) -> Volume:
        if self.reason:
            raise PoolUnavailable(name="local", reason=self.reason)
        return await self._pool.volume(name)


async def test_a_start_that_meets_a_silent_pool_is_put_off_and_not_given_up(lab: Lab) -> None:
    uuid = await lab.define()
    silent = Silent(lab.pool)
    lab.pools["local"] = cast(DirectoryPool, silent)
    async with lab.agent() as agent:
        await lab.ask("web1", "start")
        while not (seen := await lab.observed(uuid)).put_off:
            await lab.look(agent)
        assert (seen.failure, "no answer" in seen.put_off) == ("", True)
        with pytest.raises(Timeout, match="no answer"):
            await power.wait(lab.state, await lab.vm(uuid), 0.01)
        silent.reason = ""
        await lab.look(agent)
        assert (await lab.becomes(uuid, power.settled)).put_off == ""
    assert lab.acts(uuid) == ["start"]
