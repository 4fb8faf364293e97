"""Ended tasks are forgotten after a time, each server counting by its own clock from when it first saw the end.

So no two machines' clocks are compared: a server that starts keeps a task longer, none forgets it too early.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from pvc.cluster.state import Held, State
from pvc.errors import Changed, NotFound, PVCError, SessionLost
from pvc.model.records import Task, TaskStatus
from pvc.store.base import Delete

log = logging.getLogger("pvc.server")

# Ended tasks that are kept at most, however young: who makes very many does not fill the store.
KEPT = 1000
# Longest time between two looks; a task that nobody follows is seen to have ended by then.
_LOOK_S = 600.0
# Between two tries while the store refuses.
_AGAIN_S = 3.0


class Expiry:
    """kept_s: seconds that an ended task is kept at least. clock: monotonic seconds."""

    def __init__(self, kept_s: float, most: int = KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_s = kept_s
        self._most = most
        self._clock = clock
        self._seen: dict[str, float] = {}

    async def follow(self, state: State) -> None:
        """Until the session ends, or this is cancelled. One that follows it goes on with what was seen."""
        while True:
            try:
                await self._look_again_and_again(state)
            except SessionLost:
                return
            except PVCError as exc:
                log.warning("Old tasks are not forgotten now: %s", exc)
                await asyncio.sleep(_AGAIN_S)

    async def _look_again_and_again(self, state: State) -> None:
        async with state.store.watch(children=[state.paths.tasks]) as watch:
            while True:
                await self.look(state)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._next_s()):
                        await watch.wait()

    async def look(self, state: State) -> None:
        """Forget what is due."""
        ended = [
            held
            for held in await state.tasks()
            if isinstance(held, Held) and held.record.status is not TaskStatus.RUNNING
        ]
        now = self._clock()
        self._seen = {held.record.id: self._seen.get(held.record.id, now) for held in ended}
        for held in due(ended, self._seen, now - self._kept_s, self._most):
            with suppress(NotFound, Changed):  # another server forgot it first
                await state.store.commit(Delete(state.paths.task(held.record.id), held.version))

    def _next_s(self) -> float:
        oldest = min(self._seen.values(), default=self._clock())
        return min(max(oldest + self._kept_s - self._clock(), 0.0) + 1.0, _LOOK_S)


def due(ended: Sequence[Held[Task]], seen: Mapping[str, float], before: float, most: int) -> list[Held[Task]]:
    """Those that were seen to have ended by `before`, and the oldest beyond `most`. seen: by id."""
    newest_first = sorted(ended, key=lambda held: held.record.updated_at, reverse=True)
    too_many = {held.record.id for held in newest_first[most:]}
    return [held for held in ended if seen[held.record.id] <= before or held.record.id in too_many]
