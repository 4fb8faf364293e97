"""Blocking work in threads, awaited to its end: a thread cannot be called back, so clean-up waits until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


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
