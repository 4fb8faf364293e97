"""The records of all VMs in memory, for an agent that looks at every one of them whenever something happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pvc.cluster.state import Held, MirrorView, State, Unreadable
from pvc.errors import Corrupt
from pvc.model.records import VM, decode
from pvc.store.base import Entry
from pvc.store.mirror import Round, mirrored


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


class _Hearing:
    """Which changes concern a node: of its own VMs, of those on their way to it, and of what was one of either.

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
        return self._node in (vm.node, vm.moving.target if vm.moving is not None else "")


@asynccontextmanager
async def followed(state: State, node: str, wake: Callable[[], None]) -> AsyncIterator[Records]:
    """wake: called when a VM may have changed that concerns the node, and when the session is over, which reading then
    tells.
    """
    async with mirrored(state.store, {state.paths.vms: 1}, _Hearing(node, wake).hear) as mirror:
        keeping = asyncio.create_task(mirror.keep())
        keeping.add_done_callback(lambda _: wake())
        try:
            yield Records(MirrorView(mirror, state.paths), keeping)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
