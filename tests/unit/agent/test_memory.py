"""What is joined from looks and events, in whatever order they come."""

from __future__ import annotations

from pvc.agent.look import Memory
from pvc.agent.shutdowns import Shutdowns
from pvc.hypervisor.base import Event, Seen
from pvc.model.observing import Live
from pvc.model.records import VM, Desired, Ending, Observed, Power
from pvc.model.states import Step
from tests.unit.agent.lab import Clock

RUNS = Seen(uuid="u", name="web1", power=Power.RUNNING, run=1)
STOPPING = VM(uuid="u", name="web1", xml="", node="hv1", desired=Desired.STOPPED)


def memory() -> tuple[Memory, Clock]:
    clock = Clock()
    return Memory(clock, 2.0), clock


def test_an_ending_heard_while_the_start_is_still_being_answered_is_not_lost() -> None:
    known, _clock = memory()
    known.look("u", None, None)
    known.starting("u")
    known.hear(Event("u", Ending.POWERED_OFF))
    known.look("u", None, None)
    known.started("u", 1)
    known.look("u", None, None)
    assert (known.of("u").over_run, known.of("u").ended) == (1, "The guest powered itself off.")


def test_an_ending_of_an_earlier_run_says_nothing_of_the_next() -> None:
    known, _clock = memory()
    known.look("u", None, None)
    known.hear(Event("u", Ending.POWERED_OFF))
    known.starting("u")
    known.started("u", 2)
    assert known.look("u", None, None).power is Power.UNKNOWN


def test_an_event_that_comes_after_the_list_is_waited_for() -> None:
    known, clock = memory()
    known.look("u", RUNS, Live(free_slots=3))
    assert known.look("u", None, None).power is Power.UNKNOWN
    assert known.due_after(clock.now) == [clock.now + 2]
    known.hear(Event("u", Ending.CRASHED))
    now = known.look("u", None, None)
    assert (now.power, now.waiting) == (Power.OFF, True)
    assert known.due_after(clock.now) == [clock.now + 1]


def test_an_event_that_never_comes_is_not_waited_for_without_end() -> None:
    known, clock = memory()
    known.look("u", RUNS, Live(free_slots=3))
    known.look("u", None, None)
    clock.now += 2
    assert known.look("u", None, None).power is Power.OFF
    assert known.of("u").ended == ""
    assert known.due_after(clock.now) == []


def test_what_is_recalled_never_overrides_what_was_seen_since() -> None:
    known, _clock = memory()
    known.look("u", RUNS, Live(free_slots=3))
    known.recall({"u": Observed(power=Power.OFF), "v": Observed(power=Power.OFF)})
    assert known.of("u").power is Power.RUNNING
    assert known.of("v").power is Power.OFF


def test_a_vm_that_is_gone_is_forgotten_with_everything_about_it() -> None:
    known, clock = memory()
    known.look("u", RUNS, Live(free_slots=3))
    known.hear(Event("u", Ending.CRASHED))
    known.look("u", None, None)
    known.forget_but([])
    assert known.all() == {}
    assert known.due_after(clock.now) == []
    assert known.look("u", None, None).waiting is False


def test_a_moment_that_has_passed_is_no_reason_to_wake() -> None:
    clock = Clock()
    shutdowns = Shutdowns(clock, 10, 180)
    assert shutdowns.due(STOPPING, 1) is Step.SHUTDOWN
    assert sorted(shutdowns.due_after(clock.now)) == [clock.now + 10, clock.now + 180]
    clock.now += 200
    assert shutdowns.due_after(clock.now) == []
    assert shutdowns.due(STOPPING, 1) is Step.STOP


def test_a_new_run_is_asked_anew() -> None:
    shutdowns = Shutdowns(Clock(), 10, 180)
    assert [shutdowns.due(STOPPING, run) for run in (1, 1, 2, 2)] == [Step.SHUTDOWN, None, Step.SHUTDOWN, None]


def test_a_vm_that_is_gone_is_no_longer_asked_to_shut_down() -> None:
    clock = Clock()
    shutdowns = Shutdowns(clock, 10, 180)
    shutdowns.due(STOPPING, 1)
    shutdowns.forget_but([])
    assert shutdowns.due_after(clock.now) == []
