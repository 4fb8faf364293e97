"""Guests go from node to node as they are asked to, and stay when they cannot."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from msgspec.structs import replace

from pvc.agent import receiving
from pvc.agent.leaving import Leaving
from pvc.agent.shutdowns import Shutdowns
from pvc.agent.telling import Telling
from pvc.cluster import migrations, nodes, power, tasks
from pvc.cluster.migrations import Action, Outcome
from pvc.cluster.placing import candidates
from pvc.cluster.state import State
from pvc.cluster.tasks import TaskProblem
from pvc.errors import Busy, Conflict, HypervisorRefused, InUse, NoRoom
from pvc.hypervisor.base import Copy, Seen
from pvc.model.migration import Phase, Receive
from pvc.model.records import MigrationMethod, Moving, Task, TaskStatus
from pvc.model.states import api_state
from pvc.store.base import Put
from pvc.units import MIB
from tests.parts import documents
from tests.parts.interruption import cut_at
from tests.unit.agent.lab import TIMEOUT_S
from tests.unit.agent.pair import SOURCE, TARGET, Pair

NIC = documents.nic("52:54:00:00:00:01")
LOST = ("", "cannot acquire state change lock")


async def test_a_guest_goes_live_and_comes_home(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        task = await pair.move()
        assert task.result == 'Migrated VM "web1" to node "hv2" in 1.0 s; it stood still for 40 ms.'
        assert (task.figures["downtime_ms"], task.figures["total_ms"]) == (40, 1000)
        await pair.is_once_on(TARGET, uuid)
        assert (await pair.vm(uuid)).last_node == SOURCE
        with pytest.raises(Conflict, match='migrated before, from node "hv1"'):
            await pair.ask()
        await pair.move(action=Action.UNMIGRATE)
        await pair.is_once_on(SOURCE, uuid)
        assert (await pair.vm(uuid)).last_node == ""
        with pytest.raises(Conflict, match="has not been migrated before"):
            await pair.ask(action=Action.UNMIGRATE)


async def test_a_moved_vm_has_no_home_and_a_migration_is_made_permanent_without_a_copy(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        await pair.move(action=Action.MOVE)
        assert (await pair.vm(uuid)).last_node == ""
        await pair.move(node=SOURCE)
        assert (await pair.vm(uuid)).last_node == TARGET
        outcome = await pair.ask(action=Action.MOVE, node=SOURCE)
        assert (outcome.task, outcome.was_here) == (None, True)
        assert (await pair.vm(uuid)).last_node == ""
        await pair.is_once_on(SOURCE, uuid)


async def test_the_target_has_its_own_console_log_in_the_guest(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        await pair.move()
    there = await pair.hypervisors[TARGET].xml(uuid)
    assert str(pair.hands(TARGET).console_log(uuid)) in there
    assert str(pair.hands(SOURCE).console_log(uuid)) not in there


async def test_a_vm_that_is_off_goes_without_an_agent_and_is_not_started(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        await power.wait(pair.state, await power.ask(pair.state, "web1", "stop"), TIMEOUT_S)
    async with pair.alive(TARGET):
        outcome = await pair.ask()
    assert (outcome.task, outcome.node) == (None, TARGET)
    async with pair.agents():
        assert api_state(await pair.vm(uuid), await pair.state.observed(await pair.vm(uuid))) == "stop"
        assert await pair.where(uuid) == []


async def test_a_vm_that_ended_by_itself_is_not_started_by_going(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        pair.hypervisors[SOURCE].power_off(uuid)
        vm = await pair.vm(uuid)
        await power.watch_until(pair.state, vm, lambda _vm, seen: seen.power == "off", "It", TIMEOUT_S)
        await pair.ask()
        assert (await pair.vm(uuid)).node == TARGET
        assert await pair.where(uuid) == []
    assert pair.acts(TARGET, uuid) == []


async def test_the_shutdown_method_starts_the_guest_anew(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running(method=MigrationMethod.SHUTDOWN)
        task = await pair.move()
        assert "where it is started" in task.result
        await pair.is_once_on(TARGET, uuid, starts=2)
        assert pair.acts(SOURCE, uuid) == ["start", "shutdown"]
        with pytest.raises(Conflict, match="contradicts"):
            await pair.ask(action=Action.UNMIGRATE, force_live=True)


async def test_a_deaf_guest_has_its_plug_pulled_when_its_time_is_up(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running(method=MigrationMethod.SHUTDOWN)
        pair.hypervisors[SOURCE].make_deaf(uuid)
        outcome = await pair.ask()
        assert outcome.task is not None
        while pair.acts(SOURCE, uuid)[-1] != "shutdown":
            await asyncio.sleep(0.01)
        pair.clock.now += pair.settings[SOURCE].shutdown_timeout_s
        pair.hypervisors[SOURCE].go_away("")
        await migrations.wait(pair.state, outcome, TIMEOUT_S)
        await pair.is_once_on(TARGET, uuid, starts=2)
    assert pair.acts(SOURCE, uuid)[-1] == "stop"


@pytest.mark.parametrize("forced", [False, True])
async def test_a_shutdown_follows_a_live_copy_that_failed_unless_live_is_forced(pair: Pair, *, forced: bool) -> None:
    pair.hypervisors[SOURCE].stays = "the CPUs differ"
    async with pair.agents():
        uuid = await pair.running()
        if forced:
            with pytest.raises(TaskProblem, match="The hypervisor refused: the CPUs differ"):
                await pair.move(force_live=True)
            await pair.is_once_on(SOURCE, uuid)
        else:
            assert "(live it did not: the CPUs differ)" in (await pair.move()).result
            await pair.is_once_on(TARGET, uuid, starts=2)
    assert ("shutdown" in pair.acts(SOURCE, uuid)) is not forced
    assert pair.acts(SOURCE, uuid).count("migrate") == 2


async def test_a_live_copy_that_fails_before_it_begins_is_tried_once_more(pair: Pair) -> None:
    pair.hypervisors[SOURCE].refuse_next_move("unable to connect to server at '10.99.0.2:49152'")
    async with pair.agents():
        uuid = await pair.running()
        assert (await pair.move()).result.startswith('Migrated VM "web1" to node "hv2" in ')
        await pair.is_once_on(TARGET, uuid)
    assert pair.acts(SOURCE, uuid) == ["start", "migrate", "migrate"]


@pytest.mark.parametrize("method", MigrationMethod)
async def test_what_the_target_lacks_is_said_before_anything_happens(pair: Pair, method: MigrationMethod) -> None:
    async with pair.agents():
        uuid = await pair.running("web1", method, NIC)
        (pair.links / "vmbr100").rmdir()
        with pytest.raises(TaskProblem, match='Node "hv2" has no bridge "vmbr100"'):
            await pair.move()
        await pair.is_once_on(SOURCE, uuid)
    assert pair.acts(SOURCE, uuid) == ["start"]


async def test_a_cancelled_one_leaves_the_guest_where_it_was(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuid = await pair.running()
        outcome = await pair.ask(force_live=True)
        assert outcome.task is not None
        await pair.copying(outcome.task.id)
        assert api_state(await pair.vm(uuid), await pair.state.observed(await pair.vm(uuid))) == "migrate-live"
        with pytest.raises(Busy):
            await pair.ask()
        await migrations.cancel(pair.state, outcome.task.id)
        task = await pair.ended(outcome.task.id)
        assert (task.status, task.problem["code"]) == (TaskStatus.CANCELLED, "cancelled")
        await pair.is_once_on(SOURCE, uuid)
        with pytest.raises(Conflict, match="has ended"):
            await migrations.cancel(pair.state, task.id)


async def test_the_source_asks_libvirt_nothing_while_it_waits_for_the_target_or_for_its_own_call(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pair.hypervisors[SOURCE]
    source.hold_moves()
    async with pair.agent(SOURCE):
        async with pair.agent(TARGET):
            await pair.running()
        async with pair.alive(TARGET):
            with monkeypatch.context() as patched:
                patched.setattr(source, "copy", refuse)
                outcome = await pair.ask()
                assert outcome.task is not None
                await asyncio.sleep(0.1)
        assert (await pair.ended(outcome.task.id)).problem["code"] == "node_unavailable"
        async with pair.agent(TARGET):
            outcome = await pair.ask()
            assert outcome.task is not None
            await pair.copying(outcome.task.id)
            with monkeypatch.context() as patched:
                patched.setattr(source, "domains", refuse)
                before = (await pair.state.task(outcome.task.id)).version
                first = await tasks.after(pair.state, outcome.task.id, before, TIMEOUT_S)
                second = await tasks.after(pair.state, outcome.task.id, first.version, TIMEOUT_S)
                assert second.version > first.version > before, "how far it is was told twice"
            source.release_moves()
            assert (await pair.ended(outcome.task.id)).status is TaskStatus.DONE


async def refuse(*_: object) -> None:
    raise AssertionError("libvirt was asked")


async def test_a_vm_on_its_way_counts_on_both_nodes_and_keeps_both(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agent(SOURCE):
        async with pair.agent(TARGET):
            await pair.running()
            outcome = await pair.ask()
            assert outcome.task is not None
            await pair.copying(outcome.task.id)
            assert [(node.vms, node.allocated) for node in await candidates(pair.state, await pair.state.vms())] == [
                (1, 64 * MIB)
            ] * 2
        with pytest.raises(InUse):
            await nodes.remove(pair.state, TARGET)


async def test_a_vm_that_is_asked_to_stop_meanwhile_stops(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuid = await pair.running()
        outcome = await pair.ask()
        assert outcome.task is not None
        await pair.copying(outcome.task.id)
        await power.wait(pair.state, await power.ask(pair.state, "web1", "stop"), TIMEOUT_S)
        assert (await pair.ended(outcome.task.id)).status is TaskStatus.FAILED
        assert await pair.where(uuid) == []
        assert (await pair.vm(uuid)).node == SOURCE


async def test_a_copy_that_does_not_come_to_its_end_is_allowed_more_downtime_and_then_given_up(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuid = await pair.running(method=MigrationMethod.LIVE)
        held = await pair.held(uuid)
        await pair.state.write_vm(held, replace(held.record, max_downtime_ms=400))
        outcome = await pair.ask()
        assert outcome.task is not None
        await pair.copying(outcome.task.id)
        for expected in (200, 300, 400):
            pair.clock.now += pair.settings[SOURCE].stall_s
            while pair.hypervisors[SOURCE].downtimes[-1:] != [expected]:
                await pair.hypervisors[SOURCE].domains()
        pair.hypervisors[SOURCE].lose_aborts(*LOST)
        pair.clock.now += pair.settings[SOURCE].patience_s
        task = await pair.ended(outcome.task.id)
        assert "changes its memory faster" in task.problem["message"]
        await pair.is_once_on(SOURCE, uuid)
    assert pair.acts(SOURCE, uuid)[-3:] == ["abort"] * 3, "said again until it was heard"


async def test_a_cancel_that_libvirt_does_not_hear_or_refuses_is_said_again(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    pair.hypervisors[SOURCE].lose_aborts(*LOST)
    async with pair.agents():
        uuid = await pair.running()
        outcome = await pair.ask()
        assert outcome.task is not None
        await pair.copying(outcome.task.id)
        await migrations.cancel(pair.state, outcome.task.id)
        assert (await pair.ended(outcome.task.id)).status is TaskStatus.CANCELLED
        await pair.is_once_on(SOURCE, uuid)
    assert pair.acts(SOURCE, uuid)[-3:] == ["abort"] * 3


async def test_the_other_agent_takes_over_where_one_is_dead(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agent(TARGET):
        async with pair.agent(SOURCE):
            uuid = await pair.running()
            outcome = await pair.ask()
            assert outcome.task is not None
            await pair.copying(outcome.task.id)
        pair.hypervisors[SOURCE].release_moves()
        assert (await pair.ended(outcome.task.id)).status is TaskStatus.DONE
    pair.hypervisors[TARGET].hold_moves()
    async with pair.agent(TARGET):
        async with pair.agent(SOURCE):
            back = await pair.ask(action=Action.UNMIGRATE)
            assert back.task is not None
            await pair.copying(back.task.id)
        pair.hypervisors[TARGET].release_moves()
        assert (await pair.ended(back.task.id)).status is TaskStatus.DONE
    async with pair.agents():
        await pair.is_once_on(SOURCE, uuid)


async def test_a_source_that_lost_the_guest_and_its_memory_asks_the_target(pair: Pair) -> None:
    """Both agents die in the middle; what libvirt did meanwhile is found out."""
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuid = await pair.running()
        outcome = await pair.ask()
        assert outcome.task is not None
        await pair.copying(outcome.task.id)
    pair.hypervisors[SOURCE].release_moves()
    async with pair.alive(TARGET), pair.agent(SOURCE):
        await pair.comes_to(outcome.task.id, "lost")
    async with pair.agents():
        assert (await pair.ended(outcome.task.id)).status is TaskStatus.DONE
        await pair.is_once_on(TARGET, uuid)


async def test_a_guest_left_paused_goes_on_once_the_target_says_that_it_has_nothing(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuid = await pair.running()
        outcome = await pair.ask(force_live=True)
        assert outcome.task is not None
        await pair.copying(outcome.task.id)
    await pair.hypervisors[SOURCE].abort_migration(uuid)
    while await pair.hypervisors[SOURCE].copy(uuid):
        pass
    pair.hypervisors[SOURCE].pause(uuid)
    async with pair.agents():
        assert (await pair.ended(outcome.task.id)).status is TaskStatus.FAILED
        await pair.is_once_on(SOURCE, uuid)
    assert pair.acts(SOURCE, uuid)[-1] == "resume"


async def test_a_guest_that_dies_on_the_way_is_started_again_where_it_was(pair: Pair) -> None:
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuid = await pair.running()
        outcome = await pair.ask()
        assert outcome.task is not None
        await pair.copying(outcome.task.id)
        pair.hypervisors[SOURCE].crash(uuid)
        pair.hypervisors[SOURCE].release_moves()
        assert (await pair.ended(outcome.task.id)).status is TaskStatus.FAILED
        pair.clock.now += 10
        pair.hypervisors[SOURCE].go_away("")
        vm = await pair.vm(uuid)
        await power.watch_until(pair.state, vm, lambda _vm, seen: seen.power == "running", "It", TIMEOUT_S)
        await pair.is_once_on(SOURCE, uuid, starts=2)


async def test_a_dead_target_is_no_target(pair: Pair) -> None:
    async with pair.agent(SOURCE):
        async with pair.alive(TARGET):
            await pair.running()
        with pytest.raises(NoRoom, match="hv2: is dead"):
            await pair.ask()


async def test_a_target_that_dies_before_it_is_ready_lets_the_vm_go(pair: Pair) -> None:
    async with pair.agent(SOURCE):
        async with pair.agent(TARGET):
            uuid = await pair.running()
        async with pair.alive(TARGET):
            outcome = await pair.ask()
        assert outcome.task is not None
        task = await pair.ended(outcome.task.id)
        assert task.problem["code"] == "node_unavailable"
        await pair.is_once_on(SOURCE, uuid)


async def test_a_guest_that_arrives_while_the_target_looks_is_not_said_to_be_absent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source loses it meanwhile: told that it is nowhere, it would start it a second time."""
    source, target = pair.hypervisors[SOURCE], pair.hypervisors[TARGET]
    async with pair.agents():
        uuid = await pair.running()
    async with pair.alive(SOURCE), pair.agent(TARGET):
        outcome = await pair.ask()
        assert outcome.task is not None
        await pair.comes_to(outcome.task.id, "ready")
        domains = target.domains

        async def slowly() -> list[Seen]:
            monkeypatch.setattr(target, "domains", domains)
            seen = await domains()
            await proceed(pair, outcome, Phase.COPY, after=Phase.READY)
            settings = pair.settings[SOURCE]
            await source.migrate(uuid, await source.xml(uuid), f"qemu+tcp://{TARGET}/system", settings.tuning_at(100))
            await proceed(pair, outcome, Phase.LOST, after=Phase.COPY)
            return seen

        monkeypatch.setattr(target, "domains", slowly)
        target.go_away("")
        assert (await pair.ended(outcome.task.id)).status is TaskStatus.DONE
        await pair.is_once_on(TARGET, uuid)


async def proceed(pair: Pair, outcome: Outcome, phase: Phase, *, after: Phase) -> None:
    assert outcome.task is not None
    assert await migrations.proceed(pair.state, outcome.vm.uuid, outcome.task.id, phase, after=after, ring=True)


async def test_a_task_that_cannot_be_read_keeps_the_target_from_nothing_else(pair: Pair) -> None:
    async with pair.agents():
        await pair.running()
    async with pair.alive(SOURCE), pair.alive(TARGET):
        outcome = await pair.ask()
        assert outcome.task is not None
        path = pair.state.paths.task(outcome.task.id)
        await pair.state.store.commit(Put(path, b"{", (await pair.state.store.get(path)).version))
    async with pair.agent(TARGET):
        status = await pair.state.node_status(TARGET)
        assert (status.daemon, status.problem) == ("run", "")


async def test_what_was_left_at_the_source_is_cleared(pair: Pair) -> None:
    async with pair.agents():
        uuid = await pair.running()
        left = await pair.hypervisors[SOURCE].xml(uuid)
        await pair.move()
        await pair.hypervisors[SOURCE].start(left)
        pair.hypervisors[SOURCE].pause(uuid)
        await pair.hypervisors[SOURCE].resume(uuid)
        while await pair.where(uuid) != [TARGET]:
            pass
    assert pair.acts(SOURCE, uuid)[-1] == "stop"


async def test_the_source_cut_off_anywhere_leaves_a_fresh_one_to_finish(pair: Pair) -> None:
    phases = set()
    for cut in count():
        name = f"vm{cut}"
        async with pair.agent(TARGET):
            async with pair.agent(SOURCE):
                uuid = await pair.running(name)
            async with pair.alive(SOURCE) as state:
                outcome = await pair.ask(name)
                assert outcome.task is not None
                hands = pair.hands(SOURCE, state)
                leaving = Leaving(
                    hands, Shutdowns(pair.clock, 10, 60), pair.clock, outcome.vm, Telling(SOURCE).of_vm(uuid)
                )
                was_cut = await cut_at(leaving.run(), cut)
                phases.add((await pair.state.task(outcome.task.id)).record.phase)
            async with pair.agent(SOURCE):
                assert (await pair.ended(outcome.task.id)).status is TaskStatus.DONE
                await pair.is_once_on(TARGET, uuid)
        if not was_cut:
            break
    assert phases >= {"prepare", "ready", "copy", ""}
    assert cut > 10


async def test_a_preparation_cut_off_anywhere_is_done_by_a_fresh_target(pair: Pair) -> None:
    phases = set()
    for cut in count():
        name = f"vm{cut}"
        async with pair.agents():
            uuid = await pair.running(name)
        async with pair.alive(SOURCE), pair.alive(TARGET) as state:
            task, was_cut = await cut_off(pair, state, await pair.ask(name), Receive.PREPARE, cut)
            phases.add((await pair.state.task(task.id)).record.phase)
        async with pair.agent(TARGET), pair.agent(SOURCE):
            assert (await pair.ended(task.id)).status is TaskStatus.DONE
            await pair.is_once_on(TARGET, uuid)
        if not was_cut:
            break
    assert phases == {"prepare", "ready"}
    assert cut > 3


async def test_a_taking_over_cut_off_anywhere_is_done_by_a_fresh_target(pair: Pair) -> None:
    for cut in count():
        name = f"vm{cut}"
        async with pair.agents():
            uuid = await pair.running(name)
            pair.hypervisors[SOURCE].hold_moves()
            outcome = await pair.ask(name)
            assert outcome.task is not None
            await pair.copying(outcome.task.id)
        pair.hypervisors[SOURCE].release_moves()
        async with pair.alive(TARGET) as state:
            task, was_cut = await cut_off(pair, state, outcome, Receive.TAKE_OVER, cut)
        async with pair.agents():
            assert (await pair.ended(task.id)).status is TaskStatus.DONE
            await pair.is_once_on(TARGET, uuid)
        if not was_cut:
            break
    assert cut >= 3


async def cut_off(pair: Pair, state: State, outcome: Outcome, act: Receive, cut: int) -> tuple[Task, bool]:
    assert outcome.task is not None
    task = (await state.task(outcome.task.id)).record
    return task, await cut_at(receiving.receive(pair.hands(TARGET, state), outcome.vm, task, act, None), cut)


async def test_a_vm_whose_migration_has_no_record_is_told_of_and_not_looked_at_without_end(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async with pair.agents():
        uuid = await pair.running()
        held = await pair.held(uuid)
        await pair.state.write_vm(held, replace(held.record, task="gone", moving=Moving(target=TARGET)))
        async with asyncio.timeout(TIMEOUT_S):
            while "run task failed" not in caplog.text:
                await pair.hypervisors[SOURCE].domains()
        for _ in range(100):
            await pair.hypervisors[SOURCE].domains()
        assert caplog.text.count("run task failed") < 4


async def test_a_guest_of_which_libvirt_tells_nothing_can_still_be_asked_to_stay(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def copy(uuid: str) -> Copy | None:
        if "abort" not in pair.acts(SOURCE, uuid):
            raise HypervisorRefused(reason="cannot acquire state change lock")
        return await tell(uuid)

    tell = pair.hypervisors[SOURCE].copy
    pair.hypervisors[SOURCE].hold_moves()
    async with pair.agents():
        uuid = await pair.running(method=MigrationMethod.LIVE)
        outcome = await pair.ask()
        assert outcome.task is not None
        await pair.copying(outcome.task.id)
        monkeypatch.setattr(pair.hypervisors[SOURCE], "copy", copy)
        await migrations.cancel(pair.state, outcome.task.id)
        assert (await pair.ended(outcome.task.id)).status is TaskStatus.CANCELLED
        await pair.is_once_on(SOURCE, uuid)
