"""What an agent answers to the cluster's own servers: the consoles of its guests. A unix socket for root only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from pvc.agent import console
from pvc.localsocket import private_listener
from pvc.model import names

CONSOLES = web.AppKey("consoles", Path)


@asynccontextmanager
async def answering(socket: str, console_path: str) -> AsyncIterator[str]:
    """Answer on `socket` while the context lasts; gives the address for the node's record."""
    app = web.Application()
    app[CONSOLES] = Path(console_path)
    app.router.add_get("/console/{uuid}", _console)
    # Whoever follows a console never ends by himself: a silent guest's would be held for ever, and hold up our own end.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, await asyncio.to_thread(private_listener, Path(socket))).start()
        yield f"unix:{socket}"
    finally:
        await runner.cleanup()


async def _console(request: web.Request) -> web.StreamResponse:
    """Query: lines (whole number), follow ("true")."""
    uuid = request.match_info["uuid"]
    if names.UUID.fullmatch(uuid) is None:
        raise web.HTTPNotFound
    path = request.app[CONSOLES] / f"{uuid}.log"
    lines = int(request.query.get("lines", "50"))
    if request.query.get("follow") != "true":
        return web.Response(body=await console.tail(path, lines), content_type="text/plain")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    with suppress(ConnectionResetError):
        async for data in console.follow(path, lines):
            await response.write(data)
    return response
