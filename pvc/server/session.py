"""The server's session with the store, and its mirror: made anew whenever it is lost; a request meanwhile gets 503."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from pvc.cluster.opening import open_state
from pvc.cluster.state import Attentive, MirrorView, State
from pvc.errors import NotPermitted, SessionLost, StoreUnavailable
from pvc.server.feed import Feed
from pvc.server.vmlist import VMList
from pvc.store.base import Source, Store
from pvc.store.mirror import mirrored
from pvc.store.paths import SETTINGS, Paths, generation_root

log = logging.getLogger("pvc.server")

_RETRY_S = 2.0
# Seconds to read another generation in.
_OPEN_S = 60.0


@dataclass(frozen=True, slots=True)
class _Present:
    state: State
    view: MirrorView
    vm_list: VMList


class Session:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._present: _Present | None = None
        self.feed = Feed()
        self._reached = False
        self._opened = asyncio.Event()
        self._reason = "it has not been reached yet"

    @property
    def state(self) -> State:
        """For decisions. Raises StoreUnavailable while there is no session."""
        return self._need().state

    @property
    def store(self) -> Store | None:
        return self._present.state.store if self._present is not None else None

    @property
    def view(self) -> MirrorView:
        """For lists; `settled` before each use. Raises StoreUnavailable while there is no session."""
        return self._need().view

    @property
    def vm_list(self) -> VMList:
        """Of the same view. Raises StoreUnavailable while there is no session."""
        return self._need().vm_list

    async def in_generation(self, name: str) -> None:
        """Return when requests are answered from that generation. Raises StoreUnavailable when it is not so soon."""
        wanted = Paths(generation_root(name))
        try:
            async with asyncio.timeout(_OPEN_S):
                while self._present is None or self._present.state.paths != wanted:
                    await self._opened.wait()
        except TimeoutError as exc:
            raise StoreUnavailable(reason=f'generation "{name}" is in force and has not been read yet') from exc

    async def after(self, state: State | None, within_s: float) -> State:
        """The state of the next session after that of `state`, or of the present one. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(within_s):
                while self._present is None or self._present.state is state:
                    await self._opened.wait()
                return self._present.state
        except TimeoutError as exc:
            raise StoreUnavailable(reason=self._reason) from exc

    def _need(self) -> _Present:
        if self._present is None:
            raise StoreUnavailable(reason=self._reason)
        return self._present

    async def keep(self, opened: Callable[[State], None]) -> None:
        """Until cancelled. opened: called with each new session's state, once its mirror is complete.

        Raises NotPermitted when already the first session is refused: a configuration to be corrected.
        """
        while True:
            try:
                await self._one(opened)
            except SessionLost as exc:
                self._reason = "its session was lost; a new one is being opened"
                log.warning("%s; a new session is being opened", exc)
            except StoreUnavailable as exc:
                self._reason = str(exc.fields["reason"])
                log.warning("%s", exc)
                await asyncio.sleep(_RETRY_S)
            except NotPermitted as exc:
                if not self._reached:
                    raise
                self._reason = str(exc)
                log.warning("%s", exc)
                await asyncio.sleep(_RETRY_S)

    async def _one(self, opened: Callable[[State], None]) -> None:
        """Until the session ends. Raises SessionLost, StoreUnavailable where it did not come to one."""
        state = await open_state(self._source)
        try:
            await state.store.ensure(SETTINGS)  # what is not there is not followed
            async with mirrored(state.store, state.paths.mirrored, self.feed.heard(state.paths)) as mirror:
                view = MirrorView(mirror, state.paths)
                attentive = Attentive(state.reader, state.paths, mirror=view)
                self._present = _Present(attentive, view, VMList(view))
                self._reached = True
                heard, self._opened = self._opened, asyncio.Event()
                heard.set()
                opened(attentive)
                await mirror.keep()
        finally:
            self._present = None
            await state.store.aclose()


SESSION = web.AppKey("session", Session)
REVISION = web.RequestKey("revision", int)


def state_of(request: web.Request) -> State:
    """For decisions, and for reading few records; whole lists come from memory too. Raises StoreUnavailable."""
    return request.app[SESSION].state


async def view_of(request: web.Request) -> MirrorView:
    """For reading many records, from memory, at the revision that the answer names. Raises StoreUnavailable."""
    view = request.app[SESSION].view
    request[REVISION] = await view.reader.settled()
    return view
