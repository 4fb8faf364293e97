"""What an agent says of its node: its own state, facts, what guests use; and what it keeps to itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pvc.agent import main
from pvc.agent.gather import fitted
from pvc.agent.settings import Door
from pvc.cluster import nodes
from pvc.cluster.opening import open_state
from pvc.model.records import (
    CPUUse,
    DaemonState,
    DiskUse,
    MemoryUse,
    NicUse,
    Node,
    NodeStatus,
    Observed,
    Power,
    Use,
    decode,
    encode,
)
from pvc.store.base import MAX_VALUE, Put
from tests.parts import documents
from tests.unit.agent.lab import NODE, TIMEOUT_S, Lab

MAC = "52:54:00:00:00:01"
SCREEN = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>"


@asynccontextmanager
async def whole_agent(
    lab: Lab, folder: Path, machine: str, ready: Callable[[], None] = lambda: None
) -> AsyncIterator[asyncio.Task[None]]:
    """As a daemon runs it, from joining to its end in order."""
    settings = replace(lab.settings, machine=machine, interval_s=3600)
    socket, log = str(folder / f"{machine}.sock"), str(folder / f"{machine}.log")
    door = Door(socket=socket, console_path=settings.console_path, log_path=log)
    running = asyncio.create_task(main.run(lab.source, lab.hypervisor, lab.pools, settings, door, ready))
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def word(lab: Lab) -> str:
    return (await nodes.signs(lab.state, (await lab.state.node(NODE)).record)).daemon_state


async def test_an_agent_that_is_told_to_end_is_stopped_and_not_dead(lab: Lab, tmp_path: Path) -> None:
    ready = asyncio.Event()
    async with whole_agent(lab, tmp_path, "one", ready.set), asyncio.timeout(TIMEOUT_S):
        await ready.wait()
        assert await word(lab) == "run"
        uuid = await lab.running()
    assert await word(lab) == "stop"
    assert not await lab.state.node_alive(NODE)
    assert (await lab.observed(uuid)).power is Power.RUNNING
    assert lab.acts(uuid) == ["start"]


async def test_an_agent_whose_session_is_lost_is_dead_until_it_is_back(lab: Lab) -> None:
    async with lab.agent() as agent:
        assert await word(lab) == "run"
        await agent.state.store.aclose()
        assert await word(lab) == "dead"


async def test_while_it_ends_it_says_so(lab: Lab) -> None:
    async with lab.agent() as agent:
        agent.task.cancel()
        await asyncio.gather(agent.task, return_exceptions=True)
        assert await word(lab) == "shutdown"


async def test_an_agent_of_another_machine_does_nothing_to_the_guests_of_a_name_that_is_not_its(
    lab: Lab, tmp_path: Path
) -> None:
    """Not while the first lives, and not when it died: its guests may run there."""
    state = await open_state(lab.source)
    await nodes.join(state, Node(name=NODE, machine="one"))
    uuid = await lab.define()
    await lab.ask("web1", "start")
    ready: list[None] = []
    async with whole_agent(lab, tmp_path, "two", lambda: ready.append(None)), asyncio.timeout(TIMEOUT_S):
        async with lab.state.store.watch(lab.state.paths.node_waiting(NODE)) as watch:
            while await lab.state.node_waiting(NODE) is None:
                await watch.wait()
            await state.store.aclose()
            while "agent.replaces" not in (waiting := await lab.state.node_waiting(NODE)).reason:  # type: ignore[union-attr]
                await watch.wait()
        assert waiting is not None and waiting.machine == "two"
    assert (lab.acts(uuid), ready) == ([], [])
    assert await word(lab) == "dead"


async def test_what_guests_use_is_gathered_at_each_regular_look_and_not_between(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.define("web1", [documents.nic(MAC)])
        await lab.ask("web1", "start")
        await lab.becomes(uuid, lambda vm, seen: seen.power is Power.RUNNING and seen.run == vm.run)
        lab.hypervisor.spend(uuid, 5)
        await lab.wait_s(agent, 3600)
        assert (await lab.status()).use == {
            uuid: Use(
                memory=MemoryUse(actual=65536, rss=5),
                cpu=CPUUse(cpu_time=5, user_time=5, system_time=5),
                nics={MAC: NicUse(rd_bytes=5, wr_bytes=5)},
                disks={"vda": DiskUse(rd_bytes=5, wr_bytes=5)},
            )
        }
        path = lab.state.paths.node_status(NODE)
        before = await lab.state.store.get(path)
        lab.hypervisor.spend(uuid, 9)
        await lab.look(agent)
        assert await lab.state.store.get(path) == before, "a counter that moved is no reason to write"
        await lab.wait_s(agent, 3600)
        assert (await lab.status()).use[uuid].memory.rss == 9


async def test_a_guest_that_ended_uses_nothing_any_more(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.running()
        await lab.wait_s(agent, 3600)
        assert set((await lab.status()).use) == {uuid}
        lab.hypervisor.power_off(uuid)
        await lab.becomes(uuid, lambda _vm, seen: seen.power is Power.OFF)
        assert (await lab.status()).use == {}


async def test_a_guest_that_hangs_holds_up_no_decision(lab: Lab) -> None:
    lab.settings = replace(lab.settings, use_patience_s=0.01)
    async with lab.agent() as agent:
        uuid = await lab.running()
        lab.hypervisor.stammer()
        await lab.wait_s(agent, 3600)
        assert ((await lab.status()).use, (await lab.status()).use_problem) == (
            {},
            "libvirt has not told within 0.01 s what guests use: one may hang.",
        )
        await lab.ask("web1", "stop")
        await lab.becomes(uuid, lambda _vm, seen: seen.power is Power.OFF)
        lab.hypervisor.speak()
        await lab.wait_s(agent, 3600)
        assert (await lab.status()).use_problem == ""


async def test_a_libvirt_that_hangs_is_told_of(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.settings = replace(lab.settings, silence_s=0.01)
    problem = "libvirt has not answered for 0.01 s and is still waited for."
    async with lab.agent() as agent:
        lab.hypervisor.sleep()
        lab.clock.now += 3600
        agent.looked.clear()
        lab.hypervisor.go_away("")
        async with asyncio.timeout(20):
            while (await lab.status()).problem != problem:
                await asyncio.sleep(0.01)
            assert problem in caplog.text
            assert not agent.looked.is_set()
            lab.hypervisor.awake()
            await agent.looked.wait()
        assert (await lab.status()).problem == ""


async def test_the_screen_of_a_running_guest_has_its_real_port(lab: Lab) -> None:
    async with lab.agent():
        uuid = await lab.define("web1", [SCREEN])
        await lab.ask("web1", "start")
        seen = await lab.becomes(uuid, lambda vm, seen: seen.vnc is not None and seen.run == vm.run)
        assert seen.vnc is not None
        assert seen.vnc[0] == "127.0.0.1"
        assert int(seen.vnc[1]) > 5900
        await lab.ask("web1", "stop")
        seen = await lab.becomes(uuid, lambda _vm, seen: seen.power is Power.OFF)
    assert seen.vnc is None


async def test_a_guest_that_crashed_and_runs_again_has_its_new_screen(lab: Lab) -> None:
    async with lab.agent() as agent:
        uuid = await lab.define("web1", [SCREEN])
        await lab.ask("web1", "start")
        first = await lab.becomes(uuid, lambda _vm, seen: seen.vnc is not None)
        lab.hypervisor.crash(uuid)
        await lab.becomes(uuid, lambda _vm, seen: seen.power is Power.OFF)
        await lab.wait_s(agent, 10)
        again = await lab.becomes(uuid, lambda _vm, seen: seen.vnc is not None)
    assert again.vnc != first.vnc


async def test_while_the_hypervisor_is_away_the_machine_is_still_what_it_was(lab: Lab) -> None:
    async with lab.agent() as agent:
        before = await lab.status()
        lab.away = "no libvirtd"
        await lab.look(agent)
        after = await lab.status()
    assert after.problem == "The hypervisor is not available: no libvirtd"
    assert (after.memory_total, after.os, after.daemon) == (before.memory_total, "Fake 1", DaemonState.RUN)


def crowd(guests: int) -> NodeStatus:
    """Every counter as large as it gets."""
    most = 2**63
    nic = NicUse(**dict.fromkeys(NicUse.__struct_fields__, most))
    disk = DiskUse(**dict.fromkeys(DiskUse.__struct_fields__, most))
    use = Use(
        memory=MemoryUse(**dict.fromkeys(MemoryUse.__struct_fields__, most)),
        cpu=CPUUse(**dict.fromkeys(CPUUse.__struct_fields__, most)),
        nics={f"52:54:00:00:00:0{number}": nic for number in range(4)},
        disks={f"vd{letter}": disk for letter in "abcdefgh"},
    )
    seen = Observed(power=Power.RUNNING, run=10**6, crashes=10, free_slots=8, console="pty", vnc=("127.0.0.1", "65535"))
    uuids = [f"10000000-0000-4000-8000-{number:012}" for number in range(guests)]
    return NodeStatus(vms=dict.fromkeys(uuids, seen), use=dict.fromkeys(uuids, use), kernel="6.1")


def test_two_hundred_guests_with_all_that_they_use_fit() -> None:
    status = crowd(200)
    assert fitted(status, MAX_VALUE) is status
    assert decode(NodeStatus, encode(status), NODE) == status


def test_of_more_than_fit_what_they_use_is_left_out_and_it_is_said() -> None:
    status = fitted(crowd(1500), MAX_VALUE)
    assert (status.use, len(status.vms), status.kernel) == ({}, 1500, "6.1")
    assert status.use_problem.startswith("What guests use is left out: ")
    assert len(encode(status)) < MAX_VALUE


@pytest.mark.parametrize("record", [b"{", b""])
async def test_a_node_record_that_cannot_be_read_is_written_anew(lab: Lab, record: bytes) -> None:
    async with lab.agent():
        pass
    entry = await lab.state.store.get(lab.state.paths.node(NODE))
    await lab.state.store.commit(Put(lab.state.paths.node(NODE), record, entry.version))
    async with lab.agent():
        assert (await lab.state.node(NODE)).record.name == NODE


async def test_an_agent_ends_though_its_store_does_not_answer(lab: Lab) -> None:
    async with lab.agent() as agent:
        await agent.state.store.aclose()
        agent.task.cancel()
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(agent.task, return_exceptions=True)
        assert agent.task.done()
