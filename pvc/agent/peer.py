"""What an agent answers to the cluster's own servers: consoles of its guests, and its own log.

On one machine a unix socket for root only. On the network TLS, with a certificate that the node's record names, and
an answer only to whoever says the cluster's key.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from pvc import tcp
from pvc.agent import certificate, console
from pvc.agent.entrance import entrance, welcome
from pvc.agent.settings import Door
from pvc.localsocket import private_listener
from pvc.model import names


@dataclass(slots=True)
class Answering:
    """address, fingerprint: for the node's record. key: the cluster's, which nobody can say before it is known."""

    address: str
    fingerprint: str = ""
    key: str = ""


DOOR = web.AppKey("door", Door)
ANSWERING = web.AppKey("answering", Answering)


@asynccontextmanager
async def answering(door: Door) -> AsyncIterator[Answering]:
    """Answer while the context lasts. Raises OSError, Unavailable."""
    await asyncio.to_thread(Path(door.console_path).mkdir, mode=0o711, parents=True, exist_ok=True)
    identity = await certificate.make() if door.listen else None
    app = web.Application(middlewares=[_peers_only])
    app[DOOR] = door
    app[ANSWERING] = (
        Answering(f"https://{door.listen}", identity.fingerprint) if identity else Answering(f"unix:{door.socket}")
    )
    app.router.add_get("/console/{uuid}", _console)
    app.router.add_get("/log", _log)
    app.on_response_prepare.append(_name_no_program)
    # Whoever follows a console never ends by himself: a silent guest's would be held for ever, and hold up our own end.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        listener = await asyncio.to_thread(_listener, door)
        async with AsyncExitStack() as stack:
            if identity is None:
                await web.SockSite(runner, listener).start()
            else:
                await stack.enter_async_context(entrance(listener, _server(runner), identity.context))
            yield app[ANSWERING]
    finally:
        await runner.cleanup()


def _server(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("The runner is not set up.")
    return runner.server


def _listener(door: Door) -> socket.socket:
    if not door.listen:
        return private_listener(Path(door.socket))
    host, _, port = door.listen.rpartition(":")
    return tcp.listener(host.strip("[]"), int(port))


@web.middleware
async def _peers_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Others learn nothing, not even which paths there are."""
    here = request.app[ANSWERING]
    if here.fingerprint and not _says(request.headers.get("Authorization", ""), here.key):
        return web.Response(status=401)
    welcome(request)
    return await handler(request)


def _says(given: str, key: str) -> bool:
    return bool(key) and hmac.compare_digest(given.encode(errors="surrogateescape"), f"Bearer {key}".encode())


async def _name_no_program(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)


async def _console(request: web.Request) -> web.StreamResponse:
    uuid = request.match_info["uuid"]
    if names.UUID.fullmatch(uuid) is None:
        raise web.HTTPNotFound
    return await _answer(request, Path(request.app[DOOR].console_path) / f"{uuid}.log")


async def _log(request: web.Request) -> web.StreamResponse:
    return await _answer(request, Path(request.app[DOOR].log_path))


async def _answer(request: web.Request, path: Path) -> web.StreamResponse:
    """Query: lines (whole number), follow ("true")."""
    lines = int(request.query.get("lines", "50"))
    if request.query.get("follow") != "true":
        return web.Response(body=await console.tail(path, lines), content_type="text/plain")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    with suppress(ConnectionResetError):
        async for data in console.follow(path, lines):
            await response.write(data)
    return response
