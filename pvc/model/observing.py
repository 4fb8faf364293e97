"""What a node remembers of a VM from one look to the next: how runs ended, and how often they crashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from pvc.model.records import Ending, Observed, Power
from pvc.model.states import STABLE_S

ALIVE = (Power.RUNNING, Power.PAUSED, Power.CRASHED)

_ENDED = {
    Ending.POWERED_OFF: "The guest powered itself off.",
    Ending.DESTROYED: "The guest was stopped from outside pvc.",
    Ending.MIGRATED: "The guest was migrated away.",
}


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running guest's own XML tells. vnc: address and port. macs: by the host's name of each NIC."""

    free_slots: int | None = None
    console: str = ""
    vnc: tuple[str, str] | None = None
    macs: Mapping[str, str] = field(default_factory=dict)


def alive(before: Observed, power: Power, run: int | None, live: Live | None) -> Observed:
    """The VM runs: whatever was said of an earlier run's end is history, the count of crashes stays."""
    now = Observed(power=power, run=run, crashes=before.crashes)
    return now if live is None else replace(now, free_slots=live.free_slots, console=live.console, vnc=live.vnc)


def started(before: Observed, run: int) -> Observed:
    """The hypervisor took run number `run`, which nobody has seen since."""
    return alive(before, Power.RUNNING, run, None)


def off(before: Observed, ending: Ending | None, ran_s: float) -> Observed:
    """The VM is off; `ending` tells how when its node saw it end, after `ran_s` seconds.

    An end that nobody saw (the machine or its agent was away) blames no one: the VM is started again if it should run.
    """
    if before.power not in ALIVE:
        return replace(before, power=Power.OFF, run=None, free_slots=None, console="", vnc=None)
    gone = Observed(power=Power.OFF, crashes=before.crashes)
    if ending is None:
        return gone
    if ending is Ending.CRASHED or before.power is Power.CRASHED:
        return replace(gone, over_run=before.run, crashes=1 if ran_s >= STABLE_S else before.crashes + 1)
    return replace(gone, over_run=before.run, ended=_ENDED[ending], crashes=0)


def was_stopped(observed: Observed, run: int) -> bool:
    """Whether run number `run` ended by its plug being pulled rather than by the guest."""
    return observed.over_run == run and observed.ended == _ENDED[Ending.DESTROYED]


def put_off(before: Observed, reason: str) -> Observed:
    """The start waits for something that does not answer, and is tried again."""
    return replace(before, put_off=reason)


def not_started(before: Observed, run: int, reason: str) -> Observed:
    """Run number `run` could not begin."""
    return Observed(power=Power.OFF, over_run=run, failure=reason, crashes=before.crashes)
