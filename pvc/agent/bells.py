"""What wakes one long step: changes of some records, and what the hypervisor says of one guest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pvc.cluster.state import State
from pvc.hypervisor.base import Event, Hypervisor
from pvc.store.base import Watch


@asynccontextmanager
async def bell(state: State, hypervisor: Hypervisor, uuid: str, *paths: str) -> AsyncIterator[asyncio.Event]:
    """Set whenever something may have changed; whoever waits clears it before he reads.

    It is set too when the session is lost, which reading then tells.
    """
    rung = asyncio.Event()

    def hear(event: Event) -> None:
        if event.uuid in (uuid, ""):
            rung.set()

    unsubscribe = hypervisor.subscribe(hear)
    try:
        async with state.store.watch(*paths) as watch:
            ringing = asyncio.create_task(_ring(watch, rung))
            ringing.add_done_callback(lambda _: rung.set())
            try:
                yield rung
            finally:
                ringing.cancel()
                await asyncio.gather(ringing, return_exceptions=True)
    finally:
        unsubscribe()


async def _ring(watch: Watch, rung: asyncio.Event) -> None:
    while True:
        await watch.wait()
        rung.set()
