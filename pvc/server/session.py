"""The server's session with the store: opened again whenever it is lost; a request meanwhile gets 503."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from pvc.cluster.opening import open_state
from pvc.cluster.state import State
from pvc.errors import StoreUnavailable
from pvc.store.base import Source

log = logging.getLogger("pvc.server")

_RETRY_S = 2.0


class Session:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._state: State | None = None
        self._reason = "it has not been reached yet"

    @property
    def state(self) -> State:
        """Raises StoreUnavailable while there is no session."""
        if self._state is None:
            raise StoreUnavailable(reason=self._reason)
        return self._state

    async def keep(self, opened: Callable[[State], None]) -> None:
        """Until cancelled. opened: called with each new session's state."""
        try:
            while True:
                await self._one(opened)
        finally:
            if self._state is not None:
                await self._state.store.aclose()

    async def _one(self, opened: Callable[[State], None]) -> None:
        try:
            self._state = await open_state(self._source)
        except StoreUnavailable as exc:
            self._reason = str(exc.fields["reason"])
            log.warning("%s", exc)
            await asyncio.sleep(_RETRY_S)
            return
        opened(self._state)
        await self._state.store.lost.wait()
        lost, self._state, self._reason = self._state, None, "its session was lost; a new one is being opened"
        await lost.store.aclose()


SESSION = web.AppKey("session", Session)


def state_of(request: web.Request) -> State:
    """Raises StoreUnavailable."""
    return request.app[SESSION].state
