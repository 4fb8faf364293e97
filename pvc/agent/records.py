"""The records of all VMs in memory, for an agent that looks at every one of them whenever something happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pvc.cluster.state import Held, MirrorView, State, Unreadable
from pvc.model.records import VM
from pvc.store.mirror import mirrored


class Records:
    def __init__(self, view: MirrorView, keeping: asyncio.Task[None]) -> None:
        """keeping: keeps what `view` reads; it ends with the session."""
        self._view, self._keeping = view, keeping

    async def vms(self) -> list[Held[VM] | Unreadable]:
        """With all that the session has heard of. Raises StoreUnavailable, SessionLost also where nothing is asked."""
        if self._keeping.done():
            self._keeping.result()
        await self._view.reader.settled()
        return await self._view.vms()


@asynccontextmanager
async def followed(state: State, wake: Callable[[], None]) -> AsyncIterator[Records]:
    """wake: called when a record may have changed, and when the session is over, which reading then tells."""
    async with mirrored(state.store, {state.paths.vms: 1}, lambda _: wake()) as mirror:
        keeping = asyncio.create_task(mirror.keep())
        keeping.add_done_callback(lambda _: wake())
        try:
            yield Records(MirrorView(mirror, state.paths), keeping)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
