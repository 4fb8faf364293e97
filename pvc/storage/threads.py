"""Blocking work in threads, awaited to its end: a thread cannot be called back, so clean-up waits until it is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from pvc.storage.base import Heard, unheard

P = ParamSpec("P")
T = TypeVar("T")


class Stopped(Exception):
    """The copy was told to stop."""


@dataclass(frozen=True, slots=True)
class Copying:
    """A copy that a thread makes, as those see it who wait. heard: may be called in the thread. stop: ends it early."""

    heard: Heard = unheard
    stop: threading.Event = field(default_factory=threading.Event)

    def goes_on(self, done: int, total: int) -> None:
        """Tell so many bytes before the next piece. Raises Stopped soon after `stop` is set."""
        if self.stop.is_set():
            raise Stopped
        self.heard(done, total)


def on_loop(heard: Heard) -> Heard:
    """For calls from threads."""
    loop = asyncio.get_running_loop()

    def call(done: int, total: int) -> None:
        loop.call_soon_threadsafe(heard, done, total)

    return call


def nothing() -> None:
    pass


async def to_the_end(future: asyncio.Future[T], on_cancel: Callable[[], None] = nothing) -> T:
    """Wait for `future` even when cancelled meanwhile, then let the cancellation through.

    on_cancel: asks the work to end early.
    """
    interruption: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as exc:
            interruption = exc
            on_cancel()
    if interruption is not None:
        if not future.cancelled():
            future.exception()  # seen: the cancellation is the answer
        raise interruption
    return future.result()


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """asyncio.to_thread, to the end."""
    return await to_the_end(asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs)))
