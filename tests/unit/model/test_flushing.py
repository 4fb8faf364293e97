"""Who goes where when a node is emptied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvc.model.flushing import Leaver, Limits, Move, Way, next_moves, plan
from pvc.model.placement import Candidate
from pvc.model.records import DomainState, MigrationMethod, Selector
from pvc.units import GIB, MIB


def node(name: str, **more: Any) -> Candidate:
    plenty = Candidate(name=name, memory_total=8 * GIB, memory_free=8 * GIB, cpu_count=16)
    return replace(plenty, **more)


def vm(name: str, memory: int = GIB, **more: Any) -> Leaver:
    return Leaver(name=name, uuid=name, memory=memory, vcpus=1, **more)


def placed(leavers: list[Leaver], targets: list[Candidate], selector: Selector = Selector.MEM) -> dict[str, str]:
    """Each VM's target, or why it stays."""
    found = plan(leavers, targets, selector)
    return {move.vm.name: move.target for move in found.moves} | {stay.vm.name: stay.reason for stay in found.stays}


@pytest.mark.parametrize("selector", [one for one in Selector if one is not Selector.NONE])
def test_what_is_placed_counts_for_the_next_by_every_selector(selector: Selector) -> None:
    found = placed([vm("a"), vm("b"), vm("c"), vm("d")], [node("hv2"), node("hv3")], selector)
    assert sorted(found.values()) == ["hv2", "hv2", "hv3", "hv3"]
    own = placed([vm(name, selector=selector) for name in "abcd"], [node("hv2"), node("hv3")], Selector.MEM)
    assert sorted(own.values()) == ["hv2", "hv2", "hv3", "hv3"]


def test_what_the_plan_itself_places_takes_the_room_and_the_reserve_stays_free() -> None:
    small = node("hv2", memory_free=3 * GIB, memory_reserve=512 * MIB)
    found = placed([vm("a"), vm("b"), vm("c")], [small])
    assert found == {"a": "hv2", "b": "hv2", "c": "hv2: needs 1024 MiB, 512 MiB free"}


def test_one_that_has_few_nodes_to_go_to_is_placed_before_one_that_has_many() -> None:
    full, roomy = node("hv2", memory_free=GIB, provisioned=0), node("hv3", provisioned=GIB)
    found = placed([vm("a"), vm("b", node_limit=("hv2",))], [full, roomy], Selector.MEMPROV)
    assert found == {"a": "hv3", "b": "hv2"}


def test_the_largest_is_placed_first() -> None:
    found = placed([vm("a"), vm("b", 2 * GIB)], [node("hv2", memory_free=2 * GIB), node("hv3", memory_free=GIB)])
    assert found == {"a": "hv3", "b": "hv2"}


def test_each_node_says_why_it_will_not_do() -> None:
    targets = [node("hv2", domain_state=DomainState.FLUSHED), node("hv3", memory_free=MIB), node("hv4")]
    found = placed([vm("a", node_limit=("hv2", "hv3"))], targets)
    assert found["a"] == (
        "hv2: is not ready but flushed; hv3: needs 1024 MiB, 1 MiB free; "
        "hv4: is not among the nodes that the VM may run on"
    )
    assert placed([vm("a")], []) == {"a": "there is no other node"}


def test_one_that_cannot_go_anywhere_stays_and_takes_no_room() -> None:
    found = placed([vm("a", stays="has a disk of its node"), vm("b")], [node("hv2", memory_free=GIB)])
    assert found == {"a": "has a disk of its node", "b": "hv2"}


def test_a_vm_that_is_off_needs_no_memory_and_is_counted_by_what_it_was_promised() -> None:
    off = vm("off", 64 * GIB, running=False)
    assert placed([off, vm("b")], [node("hv2", memory_free=GIB)]) == {"off": "hv2", "b": "hv2"}
    found = plan([off, vm("off2", running=False)], [node("hv2"), node("hv3")], Selector.MEMPROV)
    assert {move.vm.name: move.target for move in found.moves} == {"off": "hv2", "off2": "hv3"}


def test_no_node_is_tried_twice_unless_the_vm_is_off_by_now() -> None:
    tried = {"hv2": "the guest was not awaited"}
    assert placed([vm("a", tried=tried)], [node("hv2"), node("hv3", load=9.0)], Selector.LOAD) == {"a": "hv3"}
    assert placed([vm("a", tried=tried)], [node("hv2")]) == {"a": "hv2: the guest was not awaited"}
    assert placed([vm("a", tried=tried, running=False)], [node("hv2")]) == {"a": "hv2"}


def test_the_way_is_the_vms_own_method() -> None:
    ways = {method: vm("a", method=method).way for method in MigrationMethod}
    assert ways == {
        MigrationMethod.NONE: Way.LIVE_FIRST,
        MigrationMethod.LIVE: Way.LIVE,
        MigrationMethod.SHUTDOWN: Way.SHUTDOWN,
    }
    assert vm("a", running=False, method=MigrationMethod.SHUTDOWN).way is Way.OFF


def test_so_many_begin_as_the_limits_allow_and_what_is_off_comes_last() -> None:
    moves = [Move(vm(name), target) for name, target in (("a", "hv2"), ("b", "hv2"), ("c", "hv3"), ("d", "hv3"))]
    moves.append(Move(vm("off", running=False), "hv2"))

    def begun(under_way: list[str], at_once: int, to_one: int) -> str:
        found = next_moves(moves, under_way, Limits(at_once=at_once, to_one=to_one))
        return " ".join(move.vm.name for move in found)

    assert begun([], 4, 4) == "a b c d off"
    assert begun([], 3, 4) == "a b c"
    assert begun([], 4, 1) == "a c"
    assert begun(["hv2"], 4, 1) == "c"
    assert begun(["hv2", "hv3"], 2, 2) == ""


SIZES = st.integers(1, 4096).map(lambda size: size * MIB)
LEAVERS = st.lists(st.tuples(SIZES, st.sampled_from(list(Selector)), st.booleans()), max_size=12)


@given(LEAVERS, st.lists(SIZES, min_size=1, max_size=4))
def test_every_vm_is_in_the_plan_once_and_no_node_gets_more_than_it_has_room_for(
    sizes: list[tuple[int, Selector, bool]], rooms: list[int]
) -> None:
    leavers = [
        vm(f"vm{number}", size, selector=selector, running=running)
        for number, (size, selector, running) in enumerate(sizes)
    ]
    nodes = [node(f"hv{number}", memory_free=room, memory_reserve=64 * MIB) for number, room in enumerate(rooms)]
    found = plan(leavers, nodes, Selector.MEM)
    named = [move.vm.name for move in found.moves] + [stay.vm.name for stay in found.stays]
    assert sorted(named) == sorted(one.name for one in leavers)
    for target in nodes:
        coming = [move.vm.memory for move in found.moves if move.target == target.name and move.vm.running]
        assert sum(coming) <= max(target.room, 0)
