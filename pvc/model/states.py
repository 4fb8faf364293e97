"""What a VM is asked to be, what it is, and the one step that is due. Decisions only; acts are the agent's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pvc.model.records import VM, Desired, How, Observed, Power

# A guest that crashes is started again after 1, 2, 4 ... seconds, at most every five minutes; one that ran
# for ten minutes has shown that it can, and begins anew.
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 300.0
STABLE_S = 600.0


class Step(StrEnum):
    START = "start"
    SHUTDOWN = "shutdown"
    STOP = "stop"
    RUN_TASK = "run task"
    RECEIVE = "receive"
    CLEAR = "clear"
    REPORT_STRAY = "report stray"


@dataclass(frozen=True, slots=True)
class Situation:
    """One VM as its node sees it now. run: the number of the run that is alive, None when not ours or off."""

    power: Power
    run: int | None = None
    waiting: bool = False  # a crash is too recent for another start of the same run


def backoff_s(crashes: int) -> float:
    """Seconds to wait before the start that follows the nth crash in a row."""
    return min(BACKOFF_FIRST_S * 2.0 ** min(max(crashes - 1, 0), 30), BACKOFF_MOST_S)


def is_over(vm: VM, observed: Observed) -> bool:
    """Whether the run that is wanted has ended by itself or could not begin: nobody starts it again unasked."""
    return observed.over_run == vm.run and bool(observed.failure or observed.ended)


def plan(vm: VM, observed: Observed, now: Situation, node: str) -> Step | None:
    """Choose the one step `node` owes `vm`; None when nothing is due. observed: by the VM's own node.

    Total: every combination has an answer. Doubt (UNKNOWN) means wait, because acting on a guess can run
    one disk under two guests.
    """
    alive = now.power in (Power.RUNNING, Power.PAUSED, Power.CRASHED)
    if vm.node != node:
        return _elsewhere(vm, observed, now, node) if now.power is not Power.UNKNOWN else None
    if now.power is Power.UNKNOWN:
        return None
    if vm.task:
        return Step.RUN_TASK
    if alive:
        return _towards_off(vm, now.power) if _must_end(vm, now) else None
    waiting = now.waiting and observed.over_run == vm.run
    if vm.desired is Desired.RUNNING and not waiting and not is_over(vm, observed):
        return Step.START
    return None


def _elsewhere(vm: VM, owners: Observed, now: Situation, node: str) -> Step | None:
    """For a VM that is another node's. owners: what that one last saw.

    What is here of a run that goes on there was left when it moved: two of it would destroy its disks.
    """
    if vm.moving is not None and vm.moving.target == node:
        return Step.RECEIVE
    if now.power not in (Power.RUNNING, Power.PAUSED, Power.CRASHED):
        return None
    goes_on = owners.power is Power.RUNNING and owners.run is not None
    if vm.moving is None and goes_on and now.run is not None and now.run <= (owners.run or 0):
        return Step.CLEAR
    return Step.REPORT_STRAY


def _must_end(vm: VM, now: Situation) -> bool:
    if vm.desired is not Desired.RUNNING or now.power is Power.CRASHED:
        return True
    return now.run is not None and now.run < vm.run


def _towards_off(vm: VM, power: Power) -> Step:
    """A paused or crashed guest cannot hear a shutdown."""
    return Step.SHUTDOWN if vm.how is How.SHUTDOWN and power is Power.RUNNING else Step.STOP


def api_state(vm: VM, observed: Observed) -> str:
    """The established word for what `desired`, `power` and the run's end amount to."""
    if vm.moving is not None:
        return "migrate-live" if vm.moving.forced_live else "migrate"
    alive = observed.power in (Power.RUNNING, Power.PAUSED, Power.CRASHED)
    if vm.desired is Desired.RUNNING:
        if observed.over_run == vm.run and observed.failure:
            return "fail"
        if observed.over_run == vm.run and observed.ended:
            return "stop"
        return "restart" if alive and observed.run is not None and observed.run < vm.run else "start"
    if alive:
        return str(vm.how)
    return "disable" if vm.desired is Desired.DISABLED else "stop"
