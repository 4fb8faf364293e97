"""A node is emptied and gets its VMs back, whoever dies meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from pvc.agent import flushing
from pvc.cluster import flushes, migrations, nodes, power, vms
from pvc.cluster.state import Held
from pvc.cluster.tasks import TaskProblem
from pvc.cluster.tasks import wait as wait_for
from pvc.errors import NodeUnavailable
from pvc.model import domain
from pvc.model.flushing import FLUSH, UNFLUSH, Limits, Way
from pvc.model.migration import MIGRATE
from pvc.model.records import VM, Desired, MigrationMethod, Selector, Task, TaskStatus
from pvc.store.base import Put
from tests.parts import documents
from tests.unit.agent.lab import TIMEOUT_S
from tests.unit.agent.pair import SOURCE, TARGET, Pair


async def asked(pair: Pair, kind: str, node: str = SOURCE) -> Task:
    task = await flushes.ask(pair.state, node, kind, "me")
    assert task is not None
    return task


async def seen_through(pair: Pair, kind: str, node: str = SOURCE) -> Task:
    return await wait_for(pair.state, (await asked(pair, kind, node)).id, TIMEOUT_S)


async def domain_state(pair: Pair, node: str = SOURCE) -> str:
    return (await pair.state.node(node)).record.domain_state


async def off(pair: Pair, name: str) -> str:
    uuid = pair.state.new_uuid()
    xml = domain.normalise(documents.vm(name), new_uuid=uuid)
    await vms.define(pair.state, pair.pools, VM(uuid=uuid, name=name, xml=xml, node=SOURCE))
    return uuid


async def under_way(pair: Pair) -> list[str]:
    return [held.record.name for held in await pair.state.readable_vms() if held.record.moving is not None]


async def becomes_under_way(pair: Pair, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while len(await under_way(pair)) != count:
            await asyncio.sleep(0.01)


async def test_a_flushed_node_is_empty_and_ready_brings_its_vms_home(pair: Pair) -> None:
    async with pair.agents():
        uuids = [await pair.running(f"web{number}") for number in range(6)]
        still = await off(pair, "still")
        task = await seen_through(pair, FLUSH)
        assert task.result == 'Flushed node "hv1": it has no VM.'
        assert (task.done, task.total, task.figures) == (7, 7, {"moved": 7, "stayed": 0})
        assert await domain_state(pair) == "flushed"
        for uuid in uuids:
            await pair.is_once_on(TARGET, uuid)
        vm = await pair.vm(still)
        assert (vm.node, vm.desired, vm.last_node, vm.flushed_from) == (TARGET, "stopped", SOURCE, SOURCE)
        assert await flushes.ask(pair.state, SOURCE, FLUSH, "me") is None

        task = await seen_through(pair, UNFLUSH)
        assert task.result == 'Node "hv1" is ready, and its VMs are home.'
        assert await domain_state(pair) == "ready"
        for uuid in uuids:
            await pair.is_once_on(SOURCE, uuid)
        vm = await pair.vm(still)
        assert (vm.node, vm.desired, vm.last_node, vm.flushed_from) == (SOURCE, "stopped", "", "")
        assert await flushes.ask(pair.state, SOURCE, UNFLUSH, "me") is None


async def test_a_vm_that_the_flush_brought_home_stays_there(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        await pair.move()
        await seen_through(pair, FLUSH, TARGET)
        vm = await pair.vm(uuid)
        assert (vm.node, vm.last_node, vm.flushed_from) == (SOURCE, "", "")
        await seen_through(pair, UNFLUSH, TARGET)
        await pair.is_once_on(SOURCE, uuid)


async def test_a_vm_that_people_took_away_before_does_not_come_with_the_others(pair: Pair) -> None:
    async with pair.agents():
        away, home = await pair.running("away"), await pair.running("home")
        await pair.move("away")
        await seen_through(pair, FLUSH)
        await seen_through(pair, UNFLUSH)
        await pair.is_once_on(TARGET, away)
        await pair.is_once_on(SOURCE, home)


async def test_a_vm_that_people_moved_meanwhile_is_no_longer_the_flushs(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        await seen_through(pair, FLUSH)
        await pair.ask(action=migrations.Action.MOVE, node=TARGET)
        assert (await pair.vm(uuid)).flushed_from == ""
        await seen_through(pair, UNFLUSH)
        await pair.is_once_on(TARGET, uuid)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_go_at_once_than_may(pair: Pair, at_once: int) -> None:
    pair.change(SOURCE, flush_limits=Limits(at_once=at_once, to_one=4))
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        for number in range(4):
            await pair.running(f"web{number}")
        task = await asked(pair, FLUSH)
        await becomes_under_way(pair, at_once)
        await asyncio.sleep(0.1)
        assert len(await under_way(pair)) == at_once
        pair.hypervisors[SOURCE].release_moves()
        assert (await pair.ended(task.id)).status is TaskStatus.DONE


async def test_as_soon_as_one_has_ended_the_next_sets_out(pair: Pair) -> None:
    pair.change(SOURCE, flush_limits=Limits(at_once=2, to_one=2))
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        for number in range(3):
            await pair.running(f"web{number}")
        await asked(pair, FLUSH)
        await becomes_under_way(pair, 2)
        stays, goes = await under_way(pair)
        await migrations.cancel(pair.state, (await pair.state.find_vm(stays)).record.task)
        async with asyncio.timeout(TIMEOUT_S):
            while goes not in (now := await under_way(pair)) or stays in now or len(now) != 2:
                await asyncio.sleep(0.01)


async def test_each_goes_by_its_own_method(pair: Pair) -> None:
    async with pair.agents():
        live = await pair.running("live", MigrationMethod.LIVE)
        shut = await pair.running("shut", MigrationMethod.SHUTDOWN)
        found = await flushes.plan(pair.state, pair.pools, SOURCE, Selector.MEM)
        assert {move.vm.name: move.vm.way for move in found.moves} == {"live": Way.LIVE, "shut": Way.SHUTDOWN}
        await seen_through(pair, FLUSH)
        await pair.is_once_on(TARGET, live)
        await power.wait(pair.state, await pair.vm(shut), TIMEOUT_S)
        await pair.is_once_on(TARGET, shut, starts=2)


async def migrations_of(pair: Pair) -> list[Task]:
    return [held.record for held in await pair.state.tasks() if isinstance(held, Held) and held.record.kind == MIGRATE]


async def test_what_cannot_go_is_named_and_the_node_is_not_flushed(pair: Pair) -> None:
    pair.hypervisors[SOURCE].stays = "this guest never moves"
    async with pair.agents():
        uuid = await pair.running("live", MigrationMethod.LIVE)
        gone = await off(pair, "still")
        with pytest.raises(TaskProblem) as exc:
            await seen_through(pair, FLUSH)
        assert str(exc.value) == (
            'Node "hv1" is not empty: VM "live": hv2: The hypervisor refused: this guest never moves.'
        )
        assert exc.value.code == "conflict"
        assert await domain_state(pair) == "flush"
        await pair.is_once_on(SOURCE, uuid)
        assert (await pair.vm(gone)).node == TARGET
        [task] = [held.record for held in await pair.state.tasks() if held.record.kind == FLUSH]  # type: ignore[union-attr]
        assert task.result == 'VM "live": hv2: The hypervisor refused: this guest never moves'
        assert [one.name for one in await migrations_of(pair)] == ["live"], "no node is tried twice"
        pair.hypervisors[SOURCE].stays = ""
        await seen_through(pair, FLUSH)
        assert await domain_state(pair) == "flushed"


async def test_an_agent_that_dies_goes_on_with_it_when_it_is_back(pair: Pair) -> None:
    pair.change(SOURCE, flush_limits=Limits(at_once=2, to_one=2))
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agent(TARGET):
        async with pair.agent(SOURCE):
            uuids = [await pair.running(f"web{number}") for number in range(5)]
            task = await asked(pair, FLUSH)
            await becomes_under_way(pair, 2)
        pair.hypervisors[SOURCE].release_moves()
        assert await domain_state(pair) == "flush"
        async with pair.agent(SOURCE):
            assert (await pair.ended(task.id)).status is TaskStatus.DONE
            for uuid in uuids:
                await pair.is_once_on(TARGET, uuid)


async def test_a_cancelled_one_leaves_what_has_not_gone(pair: Pair) -> None:
    pair.change(SOURCE, flush_limits=Limits(at_once=1, to_one=1))
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuids = [await pair.running(f"web{number}") for number in range(2)]
        task = await asked(pair, FLUSH)
        await becomes_under_way(pair, 1)
        await migrations.cancel(pair.state, task.id)
        ended = await pair.ended(task.id)
        assert (ended.status, ended.problem["code"]) == (TaskStatus.CANCELLED, "cancelled")
        assert "takes no VMs until it is made ready" in ended.problem["message"]
        await becomes_under_way(pair, 0)
        for uuid in uuids:
            await pair.is_once_on(SOURCE, uuid)
        assert await domain_state(pair) == "flush"
        await seen_through(pair, UNFLUSH)
        assert await domain_state(pair) == "ready"


async def test_ready_takes_the_place_of_a_flush_and_a_second_flush_is_the_first(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuid = await pair.running()
        first = await asked(pair, FLUSH)
        await becomes_under_way(pair, 1)
        assert (await asked(pair, FLUSH)).id == first.id
        back = await asked(pair, UNFLUSH)
        assert (await pair.ended(first.id)).status is TaskStatus.CANCELLED
        pair.hypervisors[SOURCE].release_moves()
        assert (await pair.ended(back.id)).status is TaskStatus.DONE
        await pair.is_once_on(SOURCE, uuid)
        assert await domain_state(pair) == "ready"


async def test_a_node_whose_agent_is_away_is_not_flushed(pair: Pair) -> None:
    async with pair.agents():
        await pair.running()
    with pytest.raises(NodeUnavailable, match="its agent does not answer"):
        await flushes.ask(pair.state, SOURCE, FLUSH, "me")
    assert await domain_state(pair) == "ready"
    assert await pair.state.tasks() == []


async def test_a_vm_that_is_busy_or_about_to_end_is_waited_for(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        pair.hypervisors[SOURCE].make_deaf(uuid)
        await power.ask(pair.state, "web1", "shutdown")
        task = await asked(pair, FLUSH)
        await asyncio.sleep(0.1)
        assert (await pair.state.task(task.id)).record.status is TaskStatus.RUNNING
        pair.hypervisors[SOURCE].power_off(uuid)
        assert (await pair.ended(task.id)).status is TaskStatus.DONE
        assert (await pair.vm(uuid)).node == TARGET
        assert pair.acts(SOURCE, uuid).count("migrate") == 0


async def test_a_record_that_cannot_be_read_keeps_the_node_from_being_flushed(pair: Pair) -> None:
    async with pair.agents():
        uuid = await off(pair, "web1")
        entry = await pair.state.store.get(pair.state.paths.vm(uuid))
        await pair.state.store.commit(Put(pair.state.paths.vm(uuid), b"{", entry.version))
        with pytest.raises(TaskProblem, match="its record cannot be read"):
            await seen_through(pair, FLUSH)


async def test_a_dead_node_that_is_forgotten_takes_its_task_with_it(pair: Pair) -> None:
    async with pair.alive(TARGET), pair.alive(SOURCE):
        task = await asked(pair, FLUSH)
    await nodes.remove(pair.state, SOURCE)
    ended = (await pair.state.task(task.id)).record
    assert (ended.status, ended.problem["message"]) == (TaskStatus.FAILED, 'No node "hv1".')


async def taken_away(pair: Pair) -> str:
    """A VM that runs where a flush took it."""
    uuid = await pair.running()
    await seen_through(pair, FLUSH)
    return uuid


async def waits(pair: Pair, task: Task) -> None:
    await asyncio.sleep(0.1)
    assert (await pair.state.task(task.id)).record.status is TaskStatus.RUNNING


async def test_a_vm_that_is_about_to_end_elsewhere_comes_home_when_it_has(pair: Pair) -> None:
    async with pair.agents():
        uuid = await taken_away(pair)
        pair.hypervisors[TARGET].make_deaf(uuid)
        await power.ask(pair.state, "web1", "shutdown")
        back = await asked(pair, UNFLUSH)
        await waits(pair, back)
        pair.hypervisors[TARGET].power_off(uuid)
        assert (await pair.ended(back.id)).status is TaskStatus.DONE
        assert (await pair.vm(uuid)).node == SOURCE
        assert pair.acts(TARGET, uuid).count("migrate") == 0


async def test_a_vm_that_is_busy_elsewhere_comes_home_when_it_is_free(pair: Pair) -> None:
    async with pair.agent(SOURCE):
        async with pair.agent(TARGET):
            uuid = await taken_away(pair)
        async with pair.alive(TARGET):
            held = await pair.held(uuid)
            await pair.state.write_vm(held, replace(held.record, task="another"))
            await waits(pair, await asked(pair, UNFLUSH))
            held = await pair.held(uuid)
            await pair.state.write_vm(held, replace(held.record, task=""))
            await becomes_under_way(pair, 1)


@pytest.mark.parametrize("changes", [{"task": "another"}, {"desired": Desired.STOPPED}], ids=["busy", "about to end"])
async def test_nobody_waits_long_for_a_vm_whose_node_dies_meanwhile(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    monkeypatch.setattr(flushing, "_GRACE_S", 0.05)
    async with pair.agent(SOURCE):
        async with pair.agent(TARGET):
            uuid = await taken_away(pair)
        async with pair.alive(TARGET):
            held = await pair.held(uuid)
            await pair.state.write_vm(held, replace(held.record, **changes))
            back = await asked(pair, UNFLUSH)
            await waits(pair, back)
        doubt = 'VM "web1": Node "hv2" does not answer: whether the VM runs is not known'
        assert (await pair.ended(back.id)).result == doubt


async def test_an_agent_that_starts_again_meanwhile_is_waited_for(pair: Pair) -> None:
    async with pair.agent(SOURCE):
        async with pair.agent(TARGET):
            uuid = await taken_away(pair)
        back = await asked(pair, UNFLUSH)
        await waits(pair, back)
        async with pair.agent(TARGET):
            assert (await pair.ended(back.id)).status is TaskStatus.DONE
            await pair.is_once_on(SOURCE, uuid)
