"""Which guests were asked to shut down, when, and when patience ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pvc.model.records import VM
from pvc.model.states import Step


@dataclass(slots=True)
class _Asked:
    run: int | None
    since: float
    last: float
    deadline: float


class Shutdowns:
    """clock: monotonic seconds. A fresh agent begins the deadline anew: better late than too early."""

    def __init__(self, clock: Callable[[], float], ask_again_s: float, timeout_s: float) -> None:
        self._clock = clock
        self._ask_again_s = ask_again_s
        self._timeout_s = timeout_s
        self._asked: dict[str, _Asked] = {}

    def due(self, vm: VM, run: int | None) -> Step | None:
        """SHUTDOWN when the guest should be asked now, STOP when its time is up, None when it is to be waited for."""
        now = self._clock()
        asked = self._asked.get(vm.uuid)
        limit = self._timeout_s if vm.deadline_s is None else vm.deadline_s
        if asked is None or asked.run != run:
            self._asked[vm.uuid] = _Asked(run, now, now, now + limit)
            return Step.SHUTDOWN
        asked.deadline = asked.since + limit
        if now >= asked.deadline:
            return Step.STOP
        if now >= asked.last + self._ask_again_s:
            asked.last = now
            return Step.SHUTDOWN
        return None

    def forget(self, uuid: str) -> None:
        self._asked.pop(uuid, None)

    def forget_but(self, uuids: Iterable[str]) -> None:
        for uuid in self._asked.keys() - set(uuids):
            del self._asked[uuid]

    def due_after(self, moment: float) -> list[float]:
        """When to ask again, and when to pull the plug; monotonic."""
        times = [time for one in self._asked.values() for time in (one.deadline, one.last + self._ask_again_s)]
        return [time for time in times if time > moment]
