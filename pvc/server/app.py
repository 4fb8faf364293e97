"""The application: every route, and what handlers are given."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from itertools import chain

from aiohttp import web

from pvc.config import Config
from pvc.server import (
    cephpools,
    cephstatus,
    devices,
    downloads,
    events,
    flushes,
    locks,
    logs,
    meta,
    migrations,
    names,
    networks,
    nodes,
    osds,
    ovas,
    ovauploads,
    power,
    receptions,
    recovery,
    sizes,
    snapshots,
    status,
    tags,
    tasks,
    tokens,
    unbuilt,
    uploads,
    vms,
    volumes,
)
from pvc.server.auth import BOOK, METRICS_PATH, TokenBook, authenticate
from pvc.server.endpoints import ENDPOINTS, Endpoints, add_endpoints
from pvc.server.errors import Handler, speak
from pvc.server.intake import end_connection
from pvc.server.measures import BEGAN, MEASURES, Measures, note_answer
from pvc.server.metrics import get_metrics
from pvc.server.openapi import document
from pvc.server.parse import MAX_BODY, Nothing
from pvc.server.parts import CEPH, CONFIG, POOLS, WHO, message
from pvc.server.revision import name_revision
from pvc.server.session import SESSION, Session
from pvc.server.working import AT_WORK, cut_off_work
from pvc.storage.administration import Administration
from pvc.storage.base import Pool

log = logging.getLogger("pvc.access")

endpoints = Endpoints()


@endpoints.get("/", "Which API this is.")
async def version(request: web.Request, _given: Nothing) -> web.Response:
    return message("PVC API version 1.0")


@endpoints.get("/openapi.json", "This description.")
async def describe(request: web.Request, _given: Nothing) -> web.Response:
    return web.json_response(document(request.app[ENDPOINTS].values()))


async def healthz(request: web.Request) -> web.Response:
    """Whether requests can be answered now. Raises StoreUnavailable."""
    _ = request.app[SESSION].state
    return message("The server answers and has its store.")


@web.middleware
async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line a request, whatever is in it: who, what (as it was sent, without the query), result, time."""
    request[BEGAN] = time.monotonic()
    response = await handler(request)
    took_ms = (time.monotonic() - request[BEGAN]) * 1000
    who = request.get(WHO, "nobody")
    log.info("%s %s %s %d %.0f ms", who, request.method, request.rel_url.raw_path, response.status, took_ms)
    return response


_VMS = (vms, meta, power, migrations, sizes, devices, tags, locks, logs)
_STORAGE = (volumes, snapshots, uploads, downloads, cephstatus, cephpools, osds)
_PROVISIONER = (ovas, ovauploads)
_PARTS = (*_VMS, *_STORAGE, *_PROVISIONER, events, names, networks, nodes, flushes, status, tasks, tokens, recovery)


def build_app(
    session: Session, book: TokenBook, pools: Mapping[str, Pool], config: Config, ceph: Administration | None = None
) -> web.Application:
    app = web.Application(middlewares=[note, speak, authenticate, name_revision], client_max_size=MAX_BODY)
    app[SESSION] = session
    app[POOLS] = pools
    app[CEPH] = ceph
    app[CONFIG] = config
    app[BOOK] = book
    app[uploads.UNDER_WAY] = set()
    app[receptions.RECEPTIONS] = {}
    app[downloads.UNDER_WAY] = set()
    app[events.READERS] = set()
    app[AT_WORK] = set()
    app[MEASURES] = Measures()
    app.router.add_get("/healthz", healthz)
    app.router.add_get(METRICS_PATH, get_metrics)
    add_endpoints(app, chain(endpoints, *(part.endpoints for part in _PARTS)))
    unbuilt.add_unbuilt(app)
    app.on_response_prepare.extend([note_answer, end_connection])
    app.on_shutdown.append(events.end_all)
    app.on_cleanup.append(cut_off_work)
    return app
