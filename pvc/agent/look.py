"""One look at the hypervisor, joined with what was remembered: gives each VM its Observed and its Situation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pvc.hypervisor.base import Event, Seen
from pvc.model import observing
from pvc.model.observing import Live
from pvc.model.records import Ending, Observed, Power
from pvc.model.states import Situation, backoff_s


class Memory:
    """What this agent knows of its VMs between two looks. clock: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], grace_s: float) -> None:
        self._clock = clock
        self._grace_s = grace_s
        self._observed: dict[str, Observed] = {}
        self._endings: dict[str, Ending] = {}
        self._vanished: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._watched: set[str] = set()

    def recall(self, vms: dict[str, Observed]) -> None:
        """Begin with what an earlier agent of this node published; what this one saw since is newer."""
        self._observed = {**vms, **self._observed}

    def hear(self, event: Event) -> None:
        if event.ending is not None:
            self._endings[event.uuid] = event.ending

    def of(self, uuid: str) -> Observed:
        return self._observed.get(uuid, Observed())

    def all(self) -> dict[str, Observed]:
        return dict(self._observed)

    def forget_but(self, uuids: Iterable[str]) -> None:
        kept = set(uuids)
        self._watched &= kept
        facts: tuple[dict[str, Any], ...] = (
            self._observed,
            self._endings,
            self._vanished,
            self._began,
            self._not_before,
        )
        for known in facts:
            for uuid in known.keys() - kept:
                del known[uuid]

    def look(self, uuid: str, seen: Seen | None, live: Live | None) -> Situation:
        """Take in what a complete list of domains shows of one VM: `seen` is None when it is not on it."""
        now, before = self._clock(), self.of(uuid)
        if seen is not None and seen.power is not Power.OFF:
            self._took_note_alive(uuid, now)
            self._observed[uuid] = observing.alive(before, seen.power, seen.run, live)
            return Situation(power=seen.power, run=seen.run)
        if self._may_still_hear(uuid, before, now):
            return Situation(power=Power.UNKNOWN)
        self._took_note_off(uuid, before, now)
        return Situation(power=Power.OFF, waiting=self._not_before.get(uuid, 0.0) > now)

    def starting(self, uuid: str) -> None:
        """From here on an ending speaks of the run that begins now."""
        self._endings.pop(uuid, None)

    def started(self, uuid: str, run: int) -> None:
        """The run may be over before anybody looks: its ending must find it remembered."""
        self._took_note_alive(uuid, self._clock())
        self._observed[uuid] = observing.started(self.of(uuid), run)

    def put_off(self, uuid: str, reason: str) -> None:
        self._observed[uuid] = observing.put_off(self.of(uuid), reason)

    def not_started(self, uuid: str, run: int, reason: str) -> None:
        self._observed[uuid] = observing.not_started(self.of(uuid), run, reason)

    def due_after(self, moment: float) -> list[float]:
        """When crashed VMs' waits, and vanished ones' grace, are over; monotonic."""
        times = [*self._not_before.values(), *(since + self._grace_s for since in self._vanished.values())]
        return [time for time in times if time > moment]

    def _took_note_alive(self, uuid: str, now: float) -> None:
        self._vanished.pop(uuid, None)
        self._not_before.pop(uuid, None)
        if uuid not in self._watched:
            self._watched.add(uuid)
            self._began[uuid] = now

    def _may_still_hear(self, uuid: str, before: Observed, now: float) -> bool:
        """A list can be newer than the event that explains it: wait for the event, but not for ever."""
        if before.power not in observing.ALIVE or uuid in self._endings or uuid not in self._watched:
            return False
        return now - self._vanished.setdefault(uuid, now) < self._grace_s

    def _took_note_off(self, uuid: str, before: Observed, now: float) -> None:
        if before.power not in observing.ALIVE:  # an ending that is heard now is of a run that is just starting
            self._observed[uuid] = observing.off(before, None, 0.0)
            return
        ending = self._endings.pop(uuid, None)
        after = observing.off(before, ending, now - self._began.pop(uuid, now))
        if ending is not None and after.crashes:
            self._not_before[uuid] = now + backoff_s(after.crashes)
        self._vanished.pop(uuid, None)
        self._watched.discard(uuid)
        self._observed[uuid] = after
