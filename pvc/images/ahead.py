"""Work in threads on what comes, some of it ahead of its turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from pvc.storage.threads import in_thread

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 2  # one processor alone takes longer to inflate than the network to bring and the pool to take


async def ahead(batches: AsyncIterator[T], work: Callable[[T], R]) -> AsyncIterator[tuple[T, R]]:
    """Yield each batch in order with what becomes of it, while the next ones are worked on."""
    under_way: deque[tuple[T, asyncio.Future[R]]] = deque()
    try:
        async for batch in batches:
            under_way.append((batch, asyncio.ensure_future(in_thread(work, batch))))
            if len(under_way) > _AT_ONCE:
                yield under_way[0][0], await under_way[0][1]
                under_way.popleft()
        while under_way:
            yield under_way[0][0], await under_way[0][1]
            under_way.popleft()
    finally:
        await asyncio.gather(*(future for _, future in under_way), return_exceptions=True)
