"""Cutting off what is under way when something happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pvc.errors import PVCError


@asynccontextmanager
async def cut_off(happening: Callable[[], Awaitable[object]], problem: Callable[[], PVCError]) -> AsyncIterator[None]:
    """What is inside is cancelled when `happening` returns, and `problem` raised."""
    try:
        async with asyncio.timeout(None) as limit:
            watching = asyncio.create_task(_when(happening, limit))
            try:
                yield
            finally:
                watching.cancel()
    except TimeoutError as exc:
        if limit.expired():
            raise problem() from exc
        raise


async def _when(happening: Callable[[], Awaitable[object]], limit: asyncio.Timeout) -> None:
    await happening()
    limit.reschedule(0)
