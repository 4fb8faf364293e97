"""Who may speak: root on the unix socket, a token's holder on the network; settled before any body is read."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Sequence

from aiohttp import web

from pvc.cluster import tokens
from pvc.cluster.state import Unreadable
from pvc.errors import NotPermitted, PVCError, SessionLost, StoreUnavailable, Unauthenticated
from pvc.model.records import Role, Token
from pvc.server.endpoints import role_needed
from pvc.server.errors import Handler
from pvc.server.parts import CONFIG, WHO
from pvc.store.base import Store
from pvc.store.paths import TOKENS

log = logging.getLogger("pvc.server")

# Between two tries to read the tokens while the store does not answer.
_RETRY_S = 2.0

METRICS_PATH = "/metrics"
_OPEN = frozenset(("/healthz",))
_UCRED = struct.Struct("3i")


class TokenBook:
    """The tokens that count, as the store last told them: who is known stays known while the store is away."""

    def __init__(self) -> None:
        self._tokens: Sequence[Token] | None = None

    @property
    def tokens(self) -> Sequence[Token]:
        """Raises StoreUnavailable before they were ever read."""
        if self._tokens is None:
            raise StoreUnavailable(reason="the tokens have not been read yet")
        return self._tokens

    async def read(self, store: Store) -> None:
        found = await tokens.every(store)
        for item in found:
            if isinstance(item, Unreadable):
                log.warning('Token "%s" cannot be read and is refused: %s', item.key, item.reason)
        self._tokens = [item for item in found if isinstance(item, Token)]

    async def follow(self, store: Store) -> None:
        """Take in every change, until the session of `store` is over."""
        while not store.lost.is_set():
            try:
                async with store.watch(children=[TOKENS]) as watch:
                    while True:
                        await self.read(store)
                        await watch.wait()
            except SessionLost:
                return
            except PVCError as exc:
                log.warning("%s; the tokens known so far count", exc)
                await asyncio.sleep(_RETRY_S)


BOOK = web.AppKey("tokens", TokenBook)


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path not in _OPEN and not _is_opened(request):
        admit(request)
    return await handler(request)


def _is_opened(request: web.Request) -> bool:
    return request.path == METRICS_PATH and request.app[CONFIG].api.open_metrics


def admit(request: web.Request) -> None:
    """Who is answered without end is admitted again and again: a token may be revoked meanwhile.

    Raises Unauthenticated, NotPermitted, StoreUnavailable.
    """
    request[WHO], role = _who(request)
    needed = role_needed(request)
    if not role.includes(needed):
        raise NotPermitted(problem=f'This takes a token with the role "{needed}", yours has "{role}"')


def _who(request: web.Request) -> tuple[str, Role]:
    """Name the caller and what it may do. Raises Unauthenticated, NotPermitted, StoreUnavailable."""
    peer = request.transport.get_extra_info("socket") if request.transport is not None else None
    if peer is not None and peer.family == socket.AF_UNIX:
        return _local_user(peer), Role.ADMIN
    given = request.headers.get("X-Api-Key", "") or _bearer(request)
    if not given:
        raise Unauthenticated(problem="A token is needed in the header X-Api-Key")
    found = tokens.holder(request.app[BOOK].tokens, given)
    if found is None:
        raise Unauthenticated(problem="The token in the header X-Api-Key is not known")
    return f'token "{found.name}"', found.role


def _bearer(request: web.Request) -> str:
    """The token as Prometheus and others send it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _local_user(peer: socket.socket) -> str:
    _pid, uid, _gid = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if uid != 0:
        raise NotPermitted(problem="Only root may use the local socket; others need a token and a URL")
    return "root"
