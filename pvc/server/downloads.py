"""Volumes as they stream out: what a snapshot holds, as an image."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import msgspec
from aiohttp import web

from pvc.cluster import volumes
from pvc.errors import InvalidInput, NotFound, PVCError
from pvc.images import export
from pvc.images.export import Export
from pvc.model.names import problem_with
from pvc.model.records import Role
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.parts import CONFIG
from pvc.server.session import state_of
from pvc.server.volumes import pool_in, volume_in
from pvc.storage.base import Content, Pool, Snapshots

endpoints = Endpoints()
log = logging.getLogger("pvc.server")


class Download(msgspec.Struct):
    """image_format: raw or qcow2. snapshot: what to send; without it one is taken first and removed at the end.

    sparse: a raw image without its holes (docs/design/016).
    """

    image_format: str = "raw"
    snapshot: str | None = None
    sparse: bool = False


@endpoints.get(
    "/storage/ceph/volume/{pool}/{volume}/download",
    "Read a volume as an image.",
    Download,
    answer=Answer.IMAGE,
    role=Role.OPERATE,
)
async def download(request: web.Request, given: Download) -> web.StreamResponse:
    """A running VM's disk is as it would be if the power failed now.

    The last bytes are sent when the snapshot is gone. What fails after the first can only be told by breaking off.
    """
    _check(given)
    pool, name = await pool_in(request), volume_in(request)
    if request.method == "HEAD":
        return await _described(pool, name, given)
    source = cast("Snapshots", pool)  # every pool there is now can snapshot
    response = web.StreamResponse()
    try:
        async with (
            _snapshot(request, pool, name, given.snapshot) as snapshot,
            source.content(name, snapshot) as content,
        ):
            image = await _export(content, given)
            response.content_type, response.content_length = image.content_type, image.length
            await response.prepare(request)
            last = await _send_most(response, image, request.app[CONFIG].upload.idle_timeout_s)
        await response.write(last)
    except (PVCError, TimeoutError) as exc:
        if not response.prepared:
            raise
        log.warning("%s was broken off: %s", request.rel_url.raw_path, exc or "the client takes nothing")
        if request.transport is not None:
            request.transport.abort()
    return response


def _check(given: Download) -> None:
    problems = {}
    if given.image_format not in export.FORMATS:
        problems["image_format"] = 'must be "raw" or "qcow2"'
    elif given.sparse and given.image_format != "raw":
        problems["sparse"] = "goes with a raw image"
    if problems:
        raise InvalidInput(problems)


@asynccontextmanager
async def _snapshot(request: web.Request, pool: Pool, volume: str, name: str | None) -> AsyncIterator[str]:
    """Its name. One that was taken for this goes at the end, whatever that is; a server that dies leaves it."""
    if name is not None:
        if problem_with("snapshot", name):
            raise NotFound(kind="snapshot", name=f"{pool.name}/{volume}@{name}")
        yield name
        return
    name = f"download-{secrets.token_hex(4)}"
    snapshots, state = cast("Snapshots", pool), state_of(request)
    try:
        async with volumes.reserved(state, pool.name, volume, "a snapshot of the volume"):
            await snapshots.snapshot(volume, name)
        yield name
    finally:
        with suppress(NotFound):
            await asyncio.shield(snapshots.remove_snapshot(volume, name))


async def _export(content: Content, given: Download) -> Export:
    if given.image_format == "qcow2":
        return await export.qcow2(content)
    return await (export.without_holes(content) if given.sparse else export.raw(content))


async def _send_most(response: web.StreamResponse, image: Export, timeout_s: float) -> bytes:
    """Return what is still to be sent. Raises TimeoutError when the client takes nothing."""
    held = b""
    async for data in image.chunks:
        async with asyncio.timeout(timeout_s):
            await response.write(held)
        held = data
    return held


async def _described(pool: Pool, volume: str, given: Download) -> web.StreamResponse:
    """Without a snapshot, whose place would be all that it tells."""
    size = (await pool.volume(volume)).size
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    if given.image_format == "raw" and not given.sparse and given.snapshot is None:
        response.content_length = size
    return response
