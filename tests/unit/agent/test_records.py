"""The agent knows all VMs without asking the store for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from pvc.agent.records import Records, followed
from pvc.cluster import power
from pvc.cluster.opening import open_state
from pvc.cluster.state import MirrorView, State, View
from pvc.errors import SessionLost, StoreUnavailable
from pvc.model.records import Moving, Power
from pvc.store.base import Delete
from pvc.store.mirror import mirrored
from tests.unit.agent.lab import TIMEOUT_S, Lab


async def test_whatever_wakes_an_agent_it_reads_no_list_from_the_store(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = await lab.define()
    await lab.define("web2")
    async with lab.agent() as agent:
        monkeypatch.setattr(View, "_all", _refuse)
        assert State._all is View._all
        await lab.ask("web1", "start")
        await lab.becomes(uuid, power.settled)
        lab.hypervisor.power_off(uuid)
        await lab.look(agent)
    assert (await lab.observed(uuid)).power is Power.OFF


async def _refuse(*_: object) -> None:
    raise StoreUnavailable(reason="all of a folder was asked for")


async def test_a_vm_that_is_made_changed_or_removed_is_one_for_the_agent_at_once(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await lab.ask("web1", "stop")
        await lab.becomes(uuid, power.settled)
        assert uuid in (await lab.status()).vms
        held, paths = await lab.state.vm(uuid), lab.state.paths
        name = await lab.state.store.get(paths.vm_name("web1"))
        await lab.state.store.commit(Delete(paths.vm(uuid), held.version), Delete(paths.vm_name("web1"), name.version))
        await lab.look(agent)
        assert (await lab.status()).vms == {}


async def test_a_session_that_is_over_is_heard_of_though_nothing_is_asked_of_it(lab: Lab) -> None:
    async def end() -> None:
        raise SessionLost(reason="another generation is in force")

    async with mirrored(lab.state.store, {lab.state.paths.vms: 1}) as mirror:
        keeping = asyncio.create_task(end())
        await asyncio.wait([keeping])
        with pytest.raises(SessionLost):
            await Records(MirrorView(mirror, lab.state.paths), keeping, []).vms()


async def test_only_what_concerns_a_node_wakes_its_agent(lab: Lab) -> None:
    woken: list[str] = []

    def hear(node: str) -> Callable[[], None]:
        return lambda: woken.append(node)

    nodes = ("hv1", "hv2", "hv3")
    async with AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(followed(lab.state, node, hear(node))) for node in nodes]

        async def concerned(**changes: object) -> set[str]:
            woken.clear()
            held = await lab.state.vm(uuid)
            await lab.state.store.commit(lab.state.put_vm(held, replace(held.record, **changes)))
            for records in followers:
                await records.vms()  # with all that was heard of
            return set(woken)

        uuid = await lab.define()
        assert await concerned(run=7) == {"hv1"}
        assert await concerned(moving=Moving(target="hv2")) == {"hv1", "hv2"}
        assert await concerned(moving=None, node="hv2") == {"hv1", "hv2"}
        assert await concerned(run=8) == {"hv2"}
        assert await concerned(flushed_from="hv3") == {"hv2", "hv3"}
        assert await concerned(flushed_from="") == {"hv2", "hv3"}
        assert await concerned(moving=Moving(target="hv3", flushed_from="hv1")) == {"hv1", "hv2", "hv3"}


async def test_whoever_listens_is_woken_with_the_agent_until_he_goes(lab: Lab) -> None:
    woken: list[str] = []
    state = await open_state(lab.source)
    async with followed(state, "hv1", lambda: woken.append("agent")) as records:
        leave = records.subscribe(lambda: woken.append("one"))
        over = asyncio.Event()
        records.subscribe(over.set)
        await lab.define()
        await records.vms()
        assert woken == ["agent", "one"]
        leave()
        over.clear()
        await state.store.aclose()
        async with asyncio.timeout(TIMEOUT_S):
            await over.wait()
        assert woken == ["agent", "one", "agent"]
        with pytest.raises(SessionLost):
            await records.vms()
