"""What a node remembers of a VM from one look to the next."""

from __future__ import annotations

import pytest

from pvc.errors import Corrupt
from pvc.model import observing
from pvc.model.records import VM, Ending, NodeStatus, Observed, Power, Tag, decode, encode
from pvc.model.states import STABLE_S

RUNS = Observed(power=Power.RUNNING, run=3, crashes=2, free_slots=4)


@pytest.mark.parametrize("ending", [Ending.POWERED_OFF, Ending.DESTROYED, Ending.MIGRATED])
def test_an_end_on_purpose_is_told_and_ends_the_count_of_crashes(ending: Ending) -> None:
    after = observing.off(RUNS, ending, 1.0)
    assert (after.power, after.over_run, after.crashes, after.run, after.free_slots) == (Power.OFF, 3, 0, None, None)
    assert after.ended.endswith(".")


def test_a_crash_is_counted() -> None:
    after = observing.off(RUNS, Ending.CRASHED, STABLE_S - 1)
    assert (after.power, after.over_run, after.ended, after.failure, after.crashes) == (Power.OFF, 3, "", "", 3)


def test_a_crash_after_a_long_run_is_the_first() -> None:
    assert observing.off(RUNS, Ending.CRASHED, STABLE_S).crashes == 1


def test_a_guest_that_hung_crashed_is_not_said_to_be_stopped_by_others() -> None:
    hung = observing.alive(RUNS, Power.CRASHED, 3, None)
    assert observing.off(hung, Ending.DESTROYED, 1.0) == observing.off(RUNS, Ending.CRASHED, 1.0)


def test_an_end_that_nobody_saw_blames_nobody() -> None:
    assert observing.off(RUNS, None, 1.0) == Observed(power=Power.OFF, crashes=2)


@pytest.mark.parametrize("ending", [None, *Ending])
def test_what_was_off_stays_as_it_was_told(ending: Ending | None) -> None:
    told = Observed(power=Power.OFF, over_run=2, ended="The guest powered itself off.")
    assert observing.off(told, ending, 1.0) == told


def test_a_run_forgets_how_earlier_ones_ended_but_not_the_crashes() -> None:
    told = Observed(power=Power.OFF, over_run=2, failure="no", crashes=2)
    assert observing.started(told, 3) == Observed(power=Power.RUNNING, run=3, crashes=2)
    assert observing.alive(told, Power.PAUSED, 3, observing.Live(free_slots=5)) == Observed(
        power=Power.PAUSED, run=3, crashes=2, free_slots=5
    )


def test_a_run_that_could_not_begin_has_its_reason() -> None:
    assert observing.not_started(RUNS, 4, "no") == Observed(power=Power.OFF, over_run=4, failure="no", crashes=2)


def test_a_record_is_read_back_as_it_was() -> None:
    vm = VM(uuid="u", name="n", xml="<x/>", node="hv1", tags=(Tag(name="a", protected=True),), deadline_s=1.5)
    assert decode(VM, encode(vm), "u") == vm
    status = NodeStatus(vms={"u": RUNS}, strays=("x",))
    assert decode(NodeStatus, encode(status), "hv1") == status


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b"\xff", b'{"uuid": 1}'])
def test_a_record_that_cannot_be_read_is_named(value: bytes) -> None:
    with pytest.raises(Corrupt, match='The record of VM "u" cannot be read: '):
        decode(VM, value, "u")


def test_what_a_newer_version_added_is_passed_over() -> None:
    assert decode(VM, b'{"uuid": "u", "name": "n", "xml": "", "node": "hv1", "new": 1}', "u").name == "n"
