"""Cancels a coroutine at a chosen await: every one can be tried in turn, and the same one again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


async def cut_at(work: Coroutine[Any, Any, object], suspension: int) -> bool:
    """Run `work`, cancelled at its n-th suspension, counted from 0; False when it was done before that.

    What it raises by itself comes through.
    """
    cut = _Cut(work, suspension)
    cut.task = asyncio.ensure_future(cut)
    try:
        await cut.task
    except asyncio.CancelledError:
        return True
    return False


class _Cut(Coroutine[Any, Any, object]):
    """Passes everything on and counts; the cancellation comes the way asyncio does it, while the task waits."""

    def __init__(self, work: Coroutine[Any, Any, object], suspension: int) -> None:
        self._work, self._left = work, suspension
        self.task: asyncio.Future[object] | None = None

    def send(self, value: Any) -> Any:
        waiting = self._work.send(value)
        if self._left == 0 and self.task is not None:
            asyncio.get_running_loop().call_soon(self.task.cancel)
        self._left -= 1
        return waiting

    def throw(self, *problem: Any) -> Any:
        return self._work.throw(*problem)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, object]:
        return self._work.__await__()
