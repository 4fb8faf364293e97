"""The application: every route, and what handlers are given."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from aiohttp import web

from pvc.config import Config
from pvc.server import (
    consoles,
    devices,
    networks,
    nodes,
    power,
    sizes,
    snapshots,
    tags,
    tasks,
    unbuilt,
    uploads,
    vms,
    volumes,
)
from pvc.server.auth import TOKENS, WHO, authenticate
from pvc.server.errors import Handler, speak
from pvc.server.parse import MAX_BODY, Nothing, parameters
from pvc.server.parts import BASE, CONFIG, POOLS, message
from pvc.server.revision import name_revision
from pvc.server.session import SESSION, Session
from pvc.storage.base import Pool

log = logging.getLogger("pvc.access")

routes = web.RouteTableDef()


@routes.get(f"{BASE}/")
async def version(request: web.Request) -> web.Response:
    await parameters(request, Nothing)
    return message("PVC API version 1.0")


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    """Whether requests can be answered now. Raises StoreUnavailable."""
    _ = request.app[SESSION].state
    return message("The server answers and has its store.")


@web.middleware
async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line a request: who, what, result, time. No query, which may hold anything."""
    began = time.monotonic()
    response = await handler(request)
    took_ms = (time.monotonic() - began) * 1000
    who = request.get(WHO, "nobody")
    log.info("%s %s %s %d %.0f ms", who, request.method, request.path, response.status, took_ms)
    return response


def build_app(session: Session, pools: Mapping[str, Pool], config: Config) -> web.Application:
    app = web.Application(middlewares=[note, speak, authenticate, name_revision], client_max_size=MAX_BODY)
    app[SESSION] = session
    app[POOLS] = pools
    app[CONFIG] = config
    app[TOKENS] = config.api.tokens
    app[uploads.UNDER_WAY] = set()
    parts = (vms, power, sizes, devices, tags, consoles, networks, volumes, snapshots, uploads, nodes, tasks)
    app.add_routes(routes)
    for part in parts:
        app.add_routes(part.routes)
    unbuilt.add_unbuilt(app)
    return app
