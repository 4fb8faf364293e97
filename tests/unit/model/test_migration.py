"""Every way that a migration can go: each prefix of it, with each agent, libvirtd, host or guest failing there.

A small world is walked through entirely: two nodes with a libvirt each, which act as libvirt does, and two agents that
do what the real decisions say, one write or one call at a time, and may die between any two of these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import msgspec
import pytest

from pvc.errors import Conflict
from pvc.model import migration
from pvc.model.migration import Attempt, Here, Leave, Phase, Receive
from pvc.model.records import VM, Desired, MigrationMethod, Moving, Observed, Power, Task, TaskStatus
from pvc.model.states import Situation, Step, plan

RUN, PAUSED, OFF = Power.RUNNING, Power.PAUSED, Power.OFF
SOURCE, TARGET = "hv1", "hv2"


@dataclass(frozen=True, slots=True)
class World:
    """stage: of libvirt's own protocol, 0 when it does nothing; call: how the source agent's call stands, if it lives.

    owner: who has the VM. result: how the task ended, "" while it goes on. begun: the source agent has written that it
    copies and is about to call. away: the source or target agent is dead. shut: the guest was shut down on purpose.
    """

    method: MigrationMethod
    phase: Phase = Phase.PREPARE
    owner: str = SOURCE
    result: str = ""
    cancel: bool = False
    source: Power = RUN
    target: Power = OFF
    stage: int = 0
    call: str = ""
    begun: bool = False
    away: str = ""
    faults: int = 0
    anew: bool = False


def records(world: World) -> tuple[VM, Task]:
    vm, task = _records(world.method, world.phase, world.owner, bool(world.result))
    return vm, msgspec.structs.replace(task, cancel=world.cancel)


@cache
def _records(method: MigrationMethod, phase: Phase, owner: str, ended: bool) -> tuple[VM, Task]:
    args = {"source": SOURCE, "target": TARGET, "method": str(method)}
    status = TaskStatus.DONE if ended else TaskStatus.RUNNING
    task = Task(id="t", kind="migrate", target=("vm", "u"), name="web", args=args, phase=phase, status=status)
    vm = VM(uuid="u", name="web", xml="", node=owner, desired=Desired.RUNNING, run=1)
    if not ended:
        vm = msgspec.structs.replace(vm, task="t", moving=Moving(target=TARGET))
    return vm, task


def attempt(call: str) -> Attempt:
    return Attempt(under_way=call == "under way", arrived=call == "arrived", problem="no" if call == "failed" else "")


def leave(world: World) -> Leave:
    here = Here(power=world.source, job=world.stage > 0 and world.source is not OFF)
    return migration.leaving(*records(world), here, attempt(world.call), target_alive=world.away != TARGET)


def receive(world: World) -> Receive:
    return migration.receiving(*records(world), Here(power=world.target, job=world.stage in (1, 2, 3)))


def source_acts(world: World) -> World:
    if world.begun:
        if world.stage:  # libvirt refuses a second one
            return replace(world, begun=False, call="failed")
        copies = world.source is not OFF and world.target is OFF
        return replace(world, begun=False, stage=1, call="under way", target=PAUSED) if copies else failed(world)
    match leave(world):
        case Leave.COPY:
            return replace(world, phase=Phase.COPY, begun=True)
        case Leave.ABORT:
            return not_moved(world) if world.stage == 1 else world
        case Leave.ASK_TARGET:
            return replace(world, phase=Phase.LOST if world.source is OFF else Phase.DOUBT)
        case Leave.RESUME:
            return replace(world, source=RUN)
        case Leave.SHUTDOWN:
            return replace(world, phase=Phase.SHUTDOWN)
        case Leave.END_GUEST:
            return replace(world, source=OFF)
        case Leave.HAND_OVER:
            return replace(world, owner=TARGET, result="moved", anew=world.call != "arrived")
        case Leave.GIVE_UP:
            return replace(world, result="stayed", anew=world.phase is Phase.SHUTDOWN and world.source is OFF)
        case _:
            return world


def failed(world: World) -> World:
    return replace(world, begun=False, call="failed")


def not_moved(world: World) -> World:
    """libvirt leaves the guest where it was, and removes what had arrived."""
    call = "failed" if world.call else ""
    source = world.source if world.source is OFF else RUN
    return replace(world, stage=0, source=source, target=OFF, call=call)


def target_acts(world: World) -> World:
    match receive(world):
        case Receive.PREPARE:
            return replace(world, phase=Phase.READY)
        case Receive.TAKE_OVER | Receive.RESUME_AND_TAKE_OVER:
            return replace(world, owner=TARGET, result="moved", target=RUN)
        case Receive.CLEAR:
            return replace(world, target=OFF)
        case Receive.SAY_ABSENT:
            return replace(world, phase=Phase.RETURNED)
        case _:
            return world


def libvirt_goes_on(world: World) -> World:
    """1: the copy; 2: the guest stands still; 3: it runs on the target; 4: the source was told, and removes it."""
    match world.stage:
        case 1:
            return replace(world, stage=2, source=PAUSED)
        case 2:
            return replace(world, stage=3, target=RUN)
        case 3:
            return replace(world, stage=4)
        case 4:
            return replace(world, stage=0, source=OFF, call="arrived" if world.call else "")
        case _:
            return world


def faults(world: World) -> Iterator[World]:
    """One thing goes wrong."""
    hit = replace(world, faults=world.faults + 1)
    for agent in {SOURCE, TARGET} - {world.away}:
        if not world.away:
            dead = replace(hit, away=agent)
            yield replace(dead, call="", begun=False) if agent == SOURCE else dead
    if world.stage == 1:
        yield not_moved(hit)  # the network, either libvirtd or the target's QEMU ended
    if world.stage == 2:
        yield not_moved(hit)
        yield replace(not_moved(hit), source=PAUSED)  # the source's libvirtd ended, and knows no more
    if world.stage == 3:
        yield replace(hit, stage=0, call="failed" if world.call else "")  # the same, and the guest runs over there
    if world.stage == 4:
        yield replace(hit, stage=0, source=OFF, call="failed" if world.call else "")  # the same, and it knows
    if world.source is RUN:  # QEMU ends
        ended = not_moved(hit) if world.stage else hit
        yield replace(ended, source=OFF)
    if world.target is RUN:
        yield replace(hit, target=OFF)
        if world.stage == 3:
            yield not_moved(hit)  # libvirt noticed in time
    if not world.cancel and not world.result and world.phase is not Phase.SHUTDOWN:
        yield replace(hit, cancel=True)


def nexts(world: World) -> Iterator[World]:
    if world.away:
        yield replace(world, away="")  # it comes back, or a fresh one goes on
    if world.away != SOURCE:
        yield source_acts(world)
    if world.away != TARGET:
        yield target_acts(world)
    yield libvirt_goes_on(world)
    if world.faults < 3:
        yield from faults(world)


@cache
def reachable() -> dict[World, World | None]:
    """Every world there can be, with the one it came from."""
    begin = [World(method, cancel=cancel) for method, cancel in product(MigrationMethod, (False, True))]
    found: dict[World, World | None] = dict.fromkeys(begin)
    waiting = deque(begin)
    while waiting:
        world = waiting.popleft()
        for after in nexts(world):
            if after not in found:
                found[after] = world
                waiting.append(after)
    return found


def way(world: World) -> str:
    steps = [world]
    while (before := reachable()[steps[-1]]) is not None:
        steps.append(before)
    return "\n".join(map(str, reversed(steps)))


def settled(world: World) -> World:
    """Both agents live, libvirt does its work and nothing else goes wrong."""
    world = replace(world, away="")
    while (after := target_acts(source_acts(libvirt_goes_on(world)))) != world:
        world = after
    return world


def test_the_walk_is_not_a_short_one() -> None:
    assert len(reachable()) > 1000
    assert {world.phase for world in reachable()} == set(Phase)


def test_a_guest_never_runs_twice() -> None:
    for world in reachable():
        assert not (world.source is RUN and world.target is RUN), way(world)


@pytest.mark.parametrize(
    ("action", "target", "last_node", "flushed_from"),
    [
        ("migrate", "hv3", ("", SOURCE), ("", SOURCE)),
        ("migrate", "hv3", ("hv4", "hv4"), ("", SOURCE)),
        ("migrate", "hv3", ("hv4", "hv4"), ("hv4", "hv4")),
        ("migrate", "hv4", ("hv4", ""), ("", "")),
        ("unmigrate", "hv3", ("hv3", ""), ("hv3", "")),
        ("unmigrate", "hv3", ("hv4", "hv4"), ("hv3", "")),
    ],
)
def test_a_flush_remembers_its_node_beside_the_one_that_it_had_come_from(
    action: str, target: str, last_node: tuple[str, str], flushed_from: tuple[str, str]
) -> None:
    vm = VM(uuid="u", name="a", xml="<x/>", node=SOURCE, last_node=last_node[0], flushed_from=flushed_from[0])
    there = migration.arrived(
        migration.under_way(vm, "t", target, action=action, forced_live=False, flush=True), anew=False
    )
    assert (there.node, there.last_node, there.flushed_from) == (target, last_node[1], flushed_from[1])
    by_people = migration.under_way(vm, "t", target, action=action, forced_live=False)
    assert migration.arrived(by_people, anew=False).flushed_from == ""


def test_nobody_starts_a_guest_that_is_elsewhere() -> None:
    """Once the task has ended, its owner starts what is off."""
    for world in reachable():
        others = world.target if world.owner == SOURCE else world.source
        owns = world.source if world.owner == SOURCE else world.target
        if world.result and owns is OFF:
            vm, _ = records(world)
            assert plan(vm, Observed(), Situation(OFF), world.owner) is Step.START
            assert others is not RUN, way(world)


def test_a_task_always_ends_when_nothing_more_goes_wrong() -> None:
    for world in reachable():
        assert settled(world).result, f"{way(world)}\nand then\n{settled(world)}"


def test_the_guest_is_where_its_record_says_and_nothing_of_it_runs_elsewhere() -> None:
    for world in reachable():
        end = settled(world)
        others = end.target if end.owner == SOURCE else end.source
        assert others is not RUN, way(world)
        if end.owner == SOURCE:
            assert others is OFF, way(world)
            assert end.source is not PAUSED, way(world)


def test_without_faults_the_guest_goes_and_never_stops_unless_that_is_its_method() -> None:
    for method in MigrationMethod:
        end = settled(World(method))
        assert (end.owner, end.result, end.source) == (TARGET, "moved", OFF)
        assert end.target is (OFF if method is MigrationMethod.SHUTDOWN else RUN)
        assert end.anew is (method is MigrationMethod.SHUTDOWN)


def test_the_source_alone_ends_what_has_begun() -> None:
    """The target's agent is dead for good, its hypervisor is not."""
    world = World(MigrationMethod.LIVE, Phase.READY)
    world = replace(source_acts(source_acts(world)), away=TARGET)
    while (after := source_acts(libvirt_goes_on(world))) != world:
        world = after
    assert (world.owner, world.result, world.target) == (TARGET, "moved", RUN)


def test_nothing_begins_for_a_target_that_is_dead_or_once_it_is_called_off() -> None:
    for phase in (Phase.PREPARE, Phase.READY):
        vm, task = records(World(MigrationMethod.LIVE, phase))
        stopped = msgspec.structs.replace(vm, desired=Desired.STOPPED)
        cancelled = msgspec.structs.replace(task, cancel=True)
        for a_vm, a_task, alive in ((vm, task, False), (stopped, task, True), (vm, cancelled, True)):
            act = migration.leaving(a_vm, a_task, Here(power=RUN), Attempt(), target_alive=alive)
            assert act is Leave.GIVE_UP


def test_a_forced_live_migration_never_shuts_a_guest_down() -> None:
    assert not [
        world for world in reachable() if world.method is MigrationMethod.LIVE and world.phase is Phase.SHUTDOWN
    ]


def test_a_cancelled_one_leaves_the_guest_unless_it_was_too_late() -> None:
    for method in MigrationMethod:
        end = settled(World(method, cancel=True))
        assert (end.owner, end.source, end.target) == (SOURCE, RUN, OFF)


def test_a_shutdown_follows_only_a_live_copy_that_failed() -> None:
    for world in reachable():
        if world.method is MigrationMethod.NONE and world.phase is Phase.SHUTDOWN and not world.result:
            before = reachable()[world]
            if before is not None and before.phase is not Phase.SHUTDOWN:
                assert before.call == "failed", way(world)


def test_what_is_left_at_the_source_of_a_guest_that_went_is_cleared_and_nothing_else() -> None:
    vm = VM(uuid="u", name="web", xml="", node=TARGET, desired=Desired.RUNNING, run=3)
    goes_on = Observed(power=RUN, run=3)
    for power, run, observed in product((RUN, PAUSED), (None, 2, 3, 4), (goes_on, Observed(), Observed(power=OFF))):
        step = plan(vm, observed, Situation(power, run=run), SOURCE)
        left = observed is goes_on and run in (2, 3)
        assert step is (Step.CLEAR if left else Step.REPORT_STRAY)
    moving = msgspec.structs.replace(vm, moving=Moving(target="hv3"), task="t")
    assert plan(moving, goes_on, Situation(PAUSED, run=3), SOURCE) is Step.REPORT_STRAY


def test_every_combination_has_an_answer() -> None:
    answers: set[Leave | Receive] = set()
    for phase, power, job, alive, over in product(Phase, Power, (True, False), (True, False), (True, False)):
        for method, cancel, call in product(MigrationMethod, (True, False), ("", "under way", "arrived", "failed")):
            world = World(method, phase, cancel=cancel)
            attempt = Attempt(
                under_way=call == "under way", arrived=call == "arrived", problem="no" * (call == "failed")
            )
            here = Here(power=power, job=job)
            answers.add(migration.leaving(*records(world), here, attempt, target_alive=alive, over=over))
            answers.add(migration.receiving(*records(world), here))
    assert answers == {*Leave, *Receive} - {Leave.DONE}


def test_forcing_live_contradicts_the_method_shutdown() -> None:
    vm = VM(uuid="u", name="web", xml="", node=SOURCE, migration_method=MigrationMethod.SHUTDOWN)
    with pytest.raises(Conflict, match="contradicts"):
        migration.method_of(vm, force_live=True)
    assert migration.method_of(vm, force_live=False) is MigrationMethod.SHUTDOWN
    other = msgspec.structs.replace(vm, migration_method=MigrationMethod.NONE)
    assert migration.method_of(other, force_live=True) is MigrationMethod.LIVE


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [("migrate", "", SOURCE), ("migrate", "hv3", "hv3"), ("unmigrate", "hv3", ""), ("move", "hv3", "")],
)
def test_what_a_vm_remembers_of_where_it_came_from(action: str, before: str, after: str) -> None:
    vm = VM(uuid="u", name="web", xml="", node=SOURCE, last_node=before, run=4)
    under_way = migration.under_way(vm, "t", TARGET, action=action, forced_live=False)
    assert (under_way.node, under_way.last_node, under_way.task) == (SOURCE, before, "t")
    there = migration.arrived(under_way, anew=False)
    assert (there.node, there.last_node, there.task, there.moving, there.run) == (TARGET, after, "", None, 4)
    assert migration.stayed(under_way, anew=False) == vm
    assert (migration.arrived(under_way, anew=True).run, migration.stayed(under_way, anew=True).run) == (5, 5)
