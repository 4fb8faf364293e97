"""Where a VM goes, and why not elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvc.model.placement import Candidate, Wanted, choose, explained, refusal
from pvc.model.records import DomainState, Selector
from pvc.units import GIB, MIB

SMALL = Wanted(memory=GIB, vcpus=1)


def node(name: str, **more: Any) -> Candidate:
    plenty = Candidate(name=name, memory_total=64 * GIB, memory_free=64 * GIB, cpu_count=16)
    return replace(plenty, **more)


@pytest.mark.parametrize(
    ("selector", "better", "worse"),
    [
        (Selector.MEM, {"memory_free": 9 * GIB}, {"memory_free": 8 * GIB}),
        (Selector.MEM, {"allocated": 8 * GIB}, {"allocated": 9 * GIB}),
        (Selector.MEM, {"provisioned": 9 * GIB}, {"memory_free": 8 * GIB}),
        (Selector.MEM, {"memory_reserve": GIB}, {"memory_reserve": 2 * GIB}),
        (Selector.MEMPROV, {"provisioned": 8 * GIB}, {"provisioned": 9 * GIB}),
        (Selector.MEMPROV, {"memory_free": 8 * GIB}, {"provisioned": GIB}),
        (Selector.MEMPROV, {"memory_total": 65 * GIB, "provisioned": GIB // 2}, {}),
        (Selector.VCPUS, {"vcpus": 2, "load": 9.0}, {"vcpus": 3}),
        (Selector.LOAD, {"load": 0.5, "vcpus": 9}, {"load": 0.6}),
        (Selector.VMS, {"vms": 1, "load": 9.0}, {"vms": 2}),
    ],
)
def test_each_selector_has_its_own_measure(selector: Selector, better: dict[str, Any], worse: dict[str, Any]) -> None:
    found = [node("a", **worse), node("b", **better)]
    assert choose(found, SMALL, selector, Selector.NONE) == "b"
    assert choose(found[::-1], SMALL, selector, Selector.NONE) == "b"


def test_no_selector_means_the_default() -> None:
    found = [node("a", load=1.0), node("b", vms=1)]
    assert choose(found, SMALL, Selector.NONE, Selector.LOAD) == "b"
    assert choose(found, SMALL, Selector.NONE, Selector.VMS) == "a"


def test_of_equals_the_one_that_promised_less_is_taken_then_the_first_by_name() -> None:
    assert choose([node("a", provisioned=GIB), node("b")], SMALL, Selector.VMS, Selector.NONE) == "b"
    assert choose([node("b"), node("a")], SMALL, Selector.VMS, Selector.NONE) == "a"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"daemon_state": "dead"}, "is dead"),
        ({"daemon_state": "stop"}, "is stopped"),
        ({"daemon_state": "init"}, "is starting"),
        ({"daemon_state": "shutdown"}, "is ending"),
        ({"problem": "The hypervisor is away."}, "has a problem: The hypervisor is away"),
        ({"domain_state": DomainState.FLUSH}, "is not ready but flush"),
        ({"domain_state": DomainState.FLUSHED}, "is not ready but flushed"),
        ({"memory_free": 1200 * MIB}, "needs 4096 MiB, 1200 MiB free"),
        ({"memory_free": 4096 * MIB, "memory_reserve": MIB}, "needs 4096 MiB, 4095 MiB free"),
        ({"allocated": 64 * GIB - 4095 * MIB}, "needs 4096 MiB, 4095 MiB free"),
        ({"memory_free": MIB, "memory_reserve": GIB}, "needs 4096 MiB, 0 MiB free"),
        ({"allocated": 65 * GIB}, "needs 4096 MiB, 0 MiB free"),
        ({"memory_total": 0, "memory_free": 0}, "needs 4096 MiB, 0 MiB free"),
        ({"cpu_count": 3}, "needs 4 CPUs, has 3"),
        ({"name": "c"}, "is not among the nodes that the VM may run on"),
    ],
)
def test_a_node_that_will_not_do_says_why(more: dict[str, Any], why: str) -> None:
    wanted = Wanted(memory=4096 * MIB, vcpus=4, node_limit=("a", "b"))
    unfit = node(**{"name": "a", **more})
    assert refusal(unfit, wanted) == why
    assert choose([unfit], wanted, Selector.MEM, Selector.NONE) is None
    assert choose([unfit, node("b", load=9.0)], wanted, Selector.LOAD, Selector.NONE) == "b"
    assert explained([node("b", daemon_state="dead"), unfit], wanted).count(why) >= 1


def test_who_comes_live_must_be_able_to_come_so() -> None:
    closed, open_, encrypted = node("a", no_live="takes none"), node("b"), node("c", encrypted=True)
    live, bare = (
        Wanted(memory=GIB, vcpus=1, live=True),
        Wanted(memory=GIB, vcpus=1, live=True, no_encryption="has no key"),
    )
    assert [refusal(one, live) for one in (closed, open_, encrypted)] == ["takes none", "", ""]
    assert refusal(encrypted, bare) == "takes guests encrypted alone, and the VM's own node has no key"
    assert [refusal(one, bare) for one in (closed, open_)] == ["takes none", ""]
    assert [refusal(one, SMALL) for one in (closed, open_, encrypted)] == [""] * 3


def test_what_fits_exactly_fits() -> None:
    exact = node("a", memory_free=5 * GIB, memory_reserve=GIB, allocated=59 * GIB, cpu_count=4)
    assert refusal(exact, Wanted(memory=4 * GIB, vcpus=4)) == ""


def test_what_stopped_vms_were_promised_does_not_keep_another_out() -> None:
    assert refusal(node("a", provisioned=640 * GIB), SMALL) == ""


def test_nodes_are_explained_by_name() -> None:
    found = [node("hv3", daemon_state="dead"), node("hv2", memory_free=1200 * MIB)]
    wanted = Wanted(memory=4096 * MIB, vcpus=1)
    assert explained(found, wanted) == "hv2: needs 4096 MiB, 1200 MiB free; hv3: is dead"


def test_without_nodes_there_is_none() -> None:
    assert choose([], SMALL, Selector.MEM, Selector.NONE) is None


CANDIDATES = st.builds(
    Candidate,
    name=st.sampled_from("abcdef"),
    daemon_state=st.sampled_from(("run", "run", "dead", "init")),
    domain_state=st.sampled_from((DomainState.READY, DomainState.READY, DomainState.FLUSH)),
    memory_total=st.integers(0, 8).map(lambda n: n * GIB),
    memory_free=st.integers(0, 8).map(lambda n: n * GIB),
    memory_reserve=st.integers(0, 2).map(lambda n: n * GIB),
    allocated=st.integers(0, 9).map(lambda n: n * GIB),
    provisioned=st.integers(0, 9).map(lambda n: n * GIB),
    cpu_count=st.integers(0, 4),
    load=st.floats(0, 8),
    vms=st.integers(0, 3),
)
WANTED = st.builds(
    Wanted,
    memory=st.integers(1, 4).map(lambda n: n * GIB),
    vcpus=st.integers(1, 3),
    node_limit=st.sampled_from(((), ("a",), ("a", "b"))),
)


@given(st.lists(CANDIDATES, unique_by=lambda one: one.name), WANTED, st.sampled_from(list(Selector)))
def test_what_is_chosen_fits_and_nothing_that_fits_is_passed_over(
    found: list[Candidate], wanted: Wanted, selector: Selector
) -> None:
    chosen = choose(found, wanted, selector, Selector.MEMPROV)
    fitting = {one.name for one in found if not refusal(one, wanted)}
    assert chosen in fitting or (chosen is None and not fitting)
    assert chosen == choose(found[::-1], wanted, selector, Selector.MEMPROV)
    if chosen is None:
        assert explained(found, wanted).count(": ") >= len(found)
