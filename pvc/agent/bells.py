"""What wakes one long step: changes of some records, and what is heard in this process, as of one guest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager

from pvc.cluster.state import State
from pvc.hypervisor.base import Event, Hypervisor
from pvc.store.base import Watch

Listener = Callable[[], None]
Subscribe = Callable[[Listener], Callable[[], None]]  # returns what ends it


def of_guest(hypervisor: Hypervisor, uuid: str) -> Subscribe:
    """What the hypervisor says of one guest, or of itself."""

    def subscribe(listener: Listener) -> Callable[[], None]:
        def hear(event: Event) -> None:
            if event.uuid in (uuid, ""):
                listener()

        return hypervisor.subscribe(hear)

    return subscribe


@asynccontextmanager
async def bell(state: State, paths: Iterable[str], heard: Iterable[Subscribe]) -> AsyncIterator[asyncio.Event]:
    """Set whenever something may have changed; whoever waits clears it before he reads.

    It is set too when the session is lost, which reading then tells.
    """
    rung = asyncio.Event()
    with ExitStack() as subscribed:
        for subscribe in heard:
            subscribed.callback(subscribe(rung.set))
        async with state.store.watch(*paths) as watch:
            ringing = asyncio.create_task(_ring(watch, rung))
            ringing.add_done_callback(lambda _: rung.set())
            try:
                yield rung
            finally:
                ringing.cancel()
                await asyncio.gather(ringing, return_exceptions=True)


async def _ring(watch: Watch, rung: asyncio.Event) -> None:
    while True:
        await watch.wait()
        rung.set()
