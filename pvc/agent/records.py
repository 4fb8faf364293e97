"""The records of all VMs in memory, for an agent that looks at every one of them whenever something happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pvc.agent.bells import Listener
from pvc.cluster.state import Held, MirrorView, State, Unreadable
from pvc.errors import Corrupt
from pvc.model.records import VM, decode
from pvc.store.base import Entry
from pvc.store.mirror import Round, mirrored


class Records:
    def __init__(self, view: MirrorView, keeping: asyncio.Task[None], listeners: list[Listener]) -> None:
        """keeping: keeps what `view` reads; it ends with the session."""
        self.view, self._keeping, self._listeners = view, keeping, listeners

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Called as the agent itself is woken. Returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def vms(self) -> list[Held[VM] | Unreadable]:
        """With all that the session has heard of. Raises StoreUnavailable, SessionLost also where nothing is asked."""
        if self._keeping.done():
            self._keeping.result()
        await self.view.reader.settled()
        return await self.view.vms()


class _Hearing:
    """Which changes concern a node: of its own VMs, of those on their way to it, of those that its flush took away, and
    of what was one of these.

    In a cluster of a hundred nodes most concern two of them, and each that is woken asks its libvirt for everything.
    """

    def __init__(self, node: str, wake: Callable[[], None]) -> None:
        self._node, self._wake = node, wake
        self._ours: set[str] = set()

    def hear(self, round_: Round) -> None:
        ours = {path for path in round_.paths if self._is_ours(path, round_.entries.get(path))}
        if ours or not self._ours.isdisjoint(round_.paths):
            self._wake()
        self._ours = self._ours.difference(round_.paths) | ours

    def _is_ours(self, path: str, entry: Entry | None) -> bool:
        """One that cannot be read is everybody's."""
        if entry is None:
            return False
        try:
            vm = decode(VM, entry.value, path)
        except Corrupt:
            return True
        return self._node in vm.nodes or self._node in vm.taken_from


@asynccontextmanager
async def followed(state: State, node: str, wake: Callable[[], None]) -> AsyncIterator[Records]:
    """wake: called when a VM may have changed that concerns the node, and when the session is over, which reading then
    tells.
    """
    listeners = [wake]

    def wake_all() -> None:
        for listener in listeners:
            listener()

    async with mirrored(state.store, {state.paths.vms: 1}, _Hearing(node, wake_all).hear) as mirror:
        keeping = asyncio.create_task(mirror.keep())
        keeping.add_done_callback(lambda _: wake_all())
        try:
            yield Records(MirrorView(mirror, state.paths), keeping, listeners)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
