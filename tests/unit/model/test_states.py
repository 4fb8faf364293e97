"""What is due for a VM: a table of cases, and what must hold in every case there is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from pvc.model import observing
from pvc.model.records import VM, Desired, Ending, How, Observed, Power
from pvc.model.states import BACKOFF_MOST_S, Situation, Step, api_state, backoff_s, is_over, plan

ME, OTHER = "hv1", "hv2"
ALIVE = (Power.RUNNING, Power.PAUSED, Power.CRASHED)
OVER = (
    Observed(),
    Observed(over_run=1, ended="The guest powered itself off."),
    Observed(over_run=1, failure="no"),
    Observed(over_run=2, ended="The guest powered itself off."),
    Observed(over_run=2, failure="no"),
    Observed(over_run=2, crashes=3),
)


def vm(
    desired: Desired = Desired.RUNNING, how: How = How.SHUTDOWN, *, node: str = ME, run: int = 2, task: str = ""
) -> VM:
    return VM(uuid="u", name="web1", xml="", node=node, desired=desired, how=how, run=run, task=task)


RUN, STOPPED, DISABLED = Desired.RUNNING, Desired.STOPPED, Desired.DISABLED


@pytest.mark.parametrize(
    ("record", "observed", "now", "step"),
    [
        (vm(), Observed(), Situation(Power.OFF), Step.START),
        (vm(), Observed(), Situation(Power.OFF, waiting=True), Step.START),
        (vm(), Observed(over_run=2, crashes=1), Situation(Power.OFF, waiting=True), None),
        (vm(), Observed(over_run=1, crashes=1), Situation(Power.OFF, waiting=True), Step.START),
        (vm(), Observed(over_run=2, crashes=1), Situation(Power.OFF), Step.START),
        (vm(), Observed(over_run=2, ended="off"), Situation(Power.OFF), None),
        (vm(), Observed(over_run=2, failure="no"), Situation(Power.OFF), None),
        (vm(), Observed(over_run=1, failure="no"), Situation(Power.OFF), Step.START),
        (vm(), Observed(), Situation(Power.UNKNOWN), None),
        (vm(), Observed(), Situation(Power.RUNNING, run=2), None),
        (vm(), Observed(), Situation(Power.RUNNING, run=None), None),
        (vm(), Observed(), Situation(Power.PAUSED, run=2), None),
        (vm(), Observed(), Situation(Power.RUNNING, run=1), Step.SHUTDOWN),
        (vm(), Observed(), Situation(Power.PAUSED, run=1), Step.STOP),
        (vm(how=How.STOP), Observed(), Situation(Power.RUNNING, run=1), Step.STOP),
        (vm(), Observed(), Situation(Power.CRASHED, run=2), Step.STOP),
        (vm(STOPPED), Observed(), Situation(Power.RUNNING, run=2), Step.SHUTDOWN),
        (vm(STOPPED), Observed(), Situation(Power.RUNNING, run=None), Step.SHUTDOWN),
        (vm(STOPPED, How.STOP), Observed(), Situation(Power.RUNNING, run=2), Step.STOP),
        (vm(STOPPED), Observed(), Situation(Power.PAUSED, run=2), Step.STOP),
        (vm(STOPPED), Observed(), Situation(Power.OFF), None),
        (vm(DISABLED), Observed(), Situation(Power.RUNNING, run=2), Step.SHUTDOWN),
        (vm(DISABLED), Observed(), Situation(Power.OFF), None),
        (vm(task="t"), Observed(), Situation(Power.RUNNING, run=2), Step.RUN_TASK),
        (vm(STOPPED, task="t"), Observed(), Situation(Power.RUNNING, run=2), Step.RUN_TASK),
        (vm(task="t"), Observed(), Situation(Power.OFF), Step.RUN_TASK),
        (vm(task="t"), Observed(), Situation(Power.UNKNOWN), None),
        (vm(node=OTHER), Observed(), Situation(Power.RUNNING, run=2), Step.REPORT_STRAY),
        (vm(node=OTHER, task="t"), Observed(), Situation(Power.PAUSED), Step.REPORT_STRAY),
        (vm(node=OTHER, task="t"), Observed(), Situation(Power.OFF), None),
        (vm(node=OTHER), Observed(), Situation(Power.UNKNOWN), None),
    ],
)
def test_the_step_that_is_due(record: VM, observed: Observed, now: Situation, step: Step | None) -> None:
    assert plan(record, observed, now, ME) is step


def everything() -> Iterator[tuple[VM, Observed, Situation]]:
    for desired, how, node, task in product(Desired, How, (ME, OTHER), ("", "t")):
        for observed, power, run, waiting in product(OVER, Power, (None, 1, 2), (False, True)):
            yield vm(desired, how, node=node, task=task), observed, Situation(power, run, waiting)


def test_every_combination_has_an_answer() -> None:
    answers = [plan(*case, ME) for case in everything()]
    assert len(answers) > 4000
    assert set(answers) == {None, *Step} - {Step.RECEIVE, Step.CLEAR}, "which tests of migrations have"


def test_another_node_that_the_vm_did_not_leave_only_reports() -> None:
    for record, observed, now in everything():
        if record.node != ME:
            expected = Step.REPORT_STRAY if now.power in ALIVE else None
            assert plan(record, observed, now, ME) is expected


def test_nothing_is_started_that_could_be_alive() -> None:
    for case in everything():
        if plan(*case, ME) is Step.START:
            assert case[2].power is Power.OFF


def test_doubt_means_waiting() -> None:
    assert {
        plan(record, observed, now, ME) for record, observed, now in everything() if now.power is Power.UNKNOWN
    } == {None}


def test_a_task_comes_before_everything_else() -> None:
    for record, observed, now in everything():
        if record.node == ME and record.task and now.power is not Power.UNKNOWN:
            assert plan(record, observed, now, ME) is Step.RUN_TASK


def test_only_what_is_wanted_is_started_and_only_what_must_end_is_ended() -> None:
    for record, observed, now in everything():
        step = plan(record, observed, now, ME)
        if step is Step.START:
            assert record.desired is Desired.RUNNING
            assert not is_over(record, observed)
        if step in (Step.SHUTDOWN, Step.STOP):
            outdated = now.run is not None and now.run < record.run
            assert record.desired is not Desired.RUNNING or now.power is Power.CRASHED or outdated
        if step is Step.SHUTDOWN:
            assert record.how is How.SHUTDOWN
            assert now.power is Power.RUNNING


def after(step: Step, record: VM, observed: Observed) -> tuple[VM, Observed, Situation]:
    """The world once `step` was done and its event heard."""
    if step is Step.RUN_TASK:
        free = vm(record.desired, record.how)
        return free, observed, Situation(observed.power, observed.run)
    if step is Step.START:
        seen = observing.started(observed, record.run)
    else:
        ending = Ending.DESTROYED if step is Step.STOP else Ending.POWERED_OFF
        seen = observing.off(observed, ending, 1.0)
    return record, seen, Situation(seen.power, seen.run)


def test_the_owner_settles_within_a_few_steps() -> None:
    for record, over, now in everything():
        if record.node != ME or now.power is Power.UNKNOWN:
            continue
        observed = observing.alive(over, now.power, now.run, None) if now.power in ALIVE else over
        observed = observed if now.power in ALIVE else observing.off(observed, None, 0.0)
        now = Situation(now.power, now.run if now.power in ALIVE else None)
        steps = []
        while (step := plan(record, observed, now, ME)) is not None:
            steps.append(step)
            assert len(steps) <= 3, (record, observed, now, steps)
            record, observed, now = after(step, record, observed)
        should_run = record.desired is Desired.RUNNING and not is_over(record, observed)
        assert (now.power in ALIVE) == should_run
        assert now.run in (None, record.run)


@pytest.mark.parametrize(
    ("crashes", "wait_s"), [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (11, 300), (10**9, 300)]
)
def test_the_wait_after_a_crash_doubles_up_to_five_minutes(crashes: int, wait_s: float) -> None:
    assert backoff_s(crashes) == wait_s


def test_the_wait_after_a_crash_never_shrinks() -> None:
    waits = [backoff_s(crashes) for crashes in range(1, 200)]
    assert waits == sorted(waits)
    assert waits[-1] == BACKOFF_MOST_S


@pytest.mark.parametrize(
    ("record", "observed", "word"),
    [
        (vm(), Observed(power=Power.RUNNING, run=2), "start"),
        (vm(), Observed(power=Power.RUNNING, run=1), "restart"),
        (vm(), Observed(power=Power.RUNNING, run=None), "start"),
        (vm(), Observed(power=Power.OFF), "start"),
        (vm(), Observed(), "start"),
        (vm(), Observed(power=Power.OFF, over_run=2, crashes=1), "start"),
        (vm(), Observed(power=Power.OFF, over_run=2, failure="no"), "fail"),
        (vm(), Observed(power=Power.OFF, over_run=1, failure="no"), "start"),
        (vm(), Observed(power=Power.OFF, over_run=2, ended="off"), "stop"),
        (vm(), Observed(power=Power.OFF, over_run=1, ended="off"), "start"),
        (vm(STOPPED), Observed(power=Power.RUNNING, run=2), "shutdown"),
        (vm(STOPPED, How.STOP), Observed(power=Power.RUNNING, run=2), "stop"),
        (vm(STOPPED), Observed(power=Power.OFF), "stop"),
        (vm(STOPPED), Observed(power=Power.OFF, over_run=2, failure="no"), "stop"),
        (vm(STOPPED), Observed(), "stop"),
        (vm(DISABLED), Observed(power=Power.RUNNING, run=2), "shutdown"),
        (vm(DISABLED), Observed(power=Power.OFF), "disable"),
    ],
)
def test_the_established_word(record: VM, observed: Observed, word: str) -> None:
    assert api_state(record, observed) == word


def test_every_combination_has_an_established_word() -> None:
    words = {api_state(record, Observed(power=now.power, run=now.run)) for record, _observed, now in everything()}
    assert words == {"start", "restart", "shutdown", "stop", "disable"}
