"""A cluster's records as one server has them for backups and restores, and a store that breaks at a chosen call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pvc.cluster.backing import Ground
from pvc.cluster.opening import open_state
from pvc.cluster.state import MirrorView, State
from pvc.errors import PVCError, SessionLost
from pvc.model import domain
from pvc.model.content import Content
from pvc.model.records import VM, Network, Node
from pvc.store.base import Source, Store
from pvc.store.mirror import mirrored
from tests.parts import documents


@asynccontextmanager
async def ground(source: Source, **pools: Any) -> AsyncIterator[Ground]:
    """In the generation that is in force now."""
    state = await open_state(source)
    async with standing(state, **pools) as found:
        yield found
    await state.store.aclose()


@asynccontextmanager
async def standing(state: State, **pools: Any) -> AsyncIterator[Ground]:
    async with mirrored(state.store, state.paths.mirrored) as mirror:
        keeping = asyncio.create_task(mirror.keep())
        try:
            yield Ground(state, MirrorView(mirror, state.paths), pools)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


def vm(number: int, note: str = "", **more: Any) -> VM:
    """note: for people, in its XML."""
    uuid = f"00000000-0000-4000-8000-{number:012}"
    text = documents.vm(f"vm{number}", uuid=uuid, more=f"<description>{note}</description>" if note else "")
    return VM(uuid=uuid, name=f"vm{number}", xml=domain.normalise(text, new_uuid=uuid), **{"node": "hv1", **more})


def content(count: int, first: int = 1, note: str = "") -> Content:
    networks = [Network(vni=100, description="lan", bridge="vmbr100")]
    return Content.ordered(networks, [Node(name="hv1")], [vm(number, note) for number in range(first, first + count)])


class Breaking:
    """A source whose sessions are lost for good at the n-th call, counted from 0, before or after the act."""

    def __init__(self, source: Source, breaks_at: int, *, after: bool) -> None:
        self._source, self._left, self._after = source, breaks_at, after
        self.broke = False

    async def session(self) -> Store:
        return _Breaking(await self._source.session(), self)

    async def aclose(self) -> None:
        await self._source.aclose()

    async def call(self, act: Callable[..., Any], *args: Any) -> Any:
        if self.broke:
            raise SessionLost(reason="it broke")
        self._left -= 1
        if self._left >= 0:
            return await act(*args)
        self.broke = True
        if self._after:
            await act(*args)
        raise SessionLost(reason="it broke")


class _Breaking:
    def __init__(self, store: Store, source: Breaking) -> None:
        self._store, self._breaks = store, source

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._store, name)
        if name not in ("get", "get_many", "children", "commit", "ensure", "locks", "sync"):
            return own

        async def call(*args: Any) -> Any:
            return await self._breaks.call(own, *args)

        return call


class Meanwhile(Breaking):
    """Lets something happen once the VMs of generation 2 are written."""

    def __init__(self, source: Source, happens: Callable[[], Awaitable[None]]) -> None:
        super().__init__(source, 0, after=False)
        self._happens: Callable[[], Awaitable[None]] | None = happens

    async def call(self, act: Callable[..., Any], *args: Any) -> Any:
        result = await act(*args)
        if self._happens and any(getattr(one, "path", "").startswith("/pvc/2/vms/") for one in args):
            happens, self._happens = self._happens, None
            await happens()
        return result


async def outcome(work: Any) -> str:
    """What it raised, "" when nothing."""
    try:
        await work
    except PVCError as exc:
        return str(exc)
    return ""
