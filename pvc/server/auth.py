"""Who may speak: root on the unix socket, a token's holder on the network; settled before any body is read."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
import struct
from collections.abc import Mapping

from aiohttp import web

from pvc.errors import NotPermitted, Unauthenticated
from pvc.server.errors import Handler

TOKENS = web.AppKey("tokens", Mapping[str, str])
WHO = web.RequestKey("who", str)

_OPEN = frozenset(("/healthz",))
_UCRED = struct.Struct("3i")


def new_token() -> tuple[str, str]:
    """A fresh token and what the configuration keeps of it."""
    token = secrets.token_urlsafe(32)
    return token, hashed(token)


def hashed(token: str) -> str:
    """Tokens are 256 random bits, so a plain digest cannot be guessed back."""
    return "sha256:" + hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path not in _OPEN:
        request[WHO] = _who(request)
    return await handler(request)


def _who(request: web.Request) -> str:
    """Name the caller. Raises Unauthenticated, NotPermitted."""
    peer = request.transport.get_extra_info("socket") if request.transport is not None else None
    if peer is not None and peer.family == socket.AF_UNIX:
        return _local_user(peer)
    given = request.headers.get("X-Api-Key", "")
    if not given:
        raise Unauthenticated(problem="A token is needed in the header X-Api-Key")
    digest = hashed(given)
    found = [name for name, kept in request.app[TOKENS].items() if hmac.compare_digest(kept, digest)]
    if not found:
        raise Unauthenticated(problem="The token in the header X-Api-Key is not known")
    return f'token "{found[0]}"'


def _local_user(peer: socket.socket) -> str:
    _pid, uid, _gid = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if uid != 0:
        raise NotPermitted(problem="Only root may use the local socket; others need a token and a URL")
    return "root"
