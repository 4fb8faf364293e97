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
from msgspec.structs import replace

from pvc.cluster import leftovers, tasks, volumes
from pvc.errors import InvalidInput, NotFound, PVCError, Timeout, Unavailable
from pvc.images import export
from pvc.images.export import Export
from pvc.model.names import problem_with
from pvc.model.records import Role, Task
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.parts import CONFIG, who
from pvc.server.session import state_of
from pvc.server.volumes import pool_in, volume_in
from pvc.server.working import admitted
from pvc.storage.base import Content, Pool, Snapshots

endpoints = Endpoints()
log = logging.getLogger("pvc.server")

UNDER_WAY = web.AppKey("downloads under way", set[str])


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
    await pool.volume(name)
    response = web.StreamResponse()
    try:
        async with _running(request, pool, name, given) as running:
            last = await _send_most(request, response, pool, running, given)
        await response.write(last)
    except PVCError as exc:
        if not response.prepared:
            raise
        log.warning("%s was broken off: %s", request.rel_url.raw_path, exc)
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
async def _running(request: web.Request, pool: Pool, volume: str, given: Download) -> AsyncIterator[tasks.Running]:
    """With a task, and a lock that tells others that this server lives (pvc/cluster/leftovers.py)."""
    state, config, under_way = state_of(request), request.app[CONFIG], request.app[UNDER_WAY]
    task = tasks.new(state, leftovers.DOWNLOAD, ("volume", f"{pool.name}/{volume}"), volume, who=who(request))
    taken = {} if given.snapshot is not None else {"snapshot": f"download-{secrets.token_hex(4)}"}
    task = replace(task, node=config.agent.node_name, args=taken)
    lock = leftovers.download_lock(task)
    with admitted(under_way, task, config.upload.most_downloads, config.agent.node_name, "downloads"):
        async with (
            volumes.held(state, lock, "download", task.id, leftovers.holder(task)),
            tasks.recorded(state, task, _reason) as running,
        ):
            yield running


def _reason(exc: BaseException) -> PVCError:
    if isinstance(exc, (ConnectionError, asyncio.CancelledError)):
        return Unavailable(what="The client", reason="it went away during the download")
    return PVCError(reason="the log of pvc serve has it")


@asynccontextmanager
async def _snapshot(request: web.Request, pool: Pool, volume: str, task: Task, name: str | None) -> AsyncIterator[str]:
    """Its name. One that was taken for this goes at the end; of a server that dies, others see to it."""
    if name is not None:
        if problem_with("snapshot", name):
            raise NotFound(kind="snapshot", name=f"{pool.name}/{volume}@{name}")
        yield name
        return
    snapshots, taken = cast("Snapshots", pool), task.args["snapshot"]
    try:
        async with volumes.reserved(state_of(request), pool.name, volume, "a snapshot of the volume"):
            await snapshots.snapshot(volume, taken)
        yield taken
    finally:
        with suppress(NotFound):
            await asyncio.shield(snapshots.remove_snapshot(volume, taken))


async def _export(content: Content, given: Download) -> Export:
    if given.image_format == "qcow2":
        return await export.qcow2(content)
    return await (export.without_holes(content) if given.sparse else export.raw(content))


async def _send_most(
    request: web.Request, response: web.StreamResponse, pool: Pool, running: tasks.Running, given: Download
) -> bytes:
    """Return what is still to be sent. Raises Timeout when the client takes nothing."""
    source, volume = cast("Snapshots", pool), running.task.name  # every pool there is now can snapshot
    async with (
        _snapshot(request, pool, volume, running.task, given.snapshot) as snapshot,
        source.content(volume, snapshot) as content,
    ):
        image = await _export(content, given)
        response.content_type, response.content_length = image.content_type, image.length
        await response.prepare(request)
        held, sent = b"", 0
        async for data in image.chunks:
            await _send(response, held, request.app[CONFIG].upload.idle_timeout_s)
            held, sent = data, sent + len(data)
            running.report("sending", sent, image.length or 0)
    running.result = f"Sent {sent} bytes."
    return held


async def _send(response: web.StreamResponse, data: bytes, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await response.write(data)
    except TimeoutError as exc:
        raise Timeout(what="The client's taking of more", timeout_s=timeout_s) from exc


async def _described(pool: Pool, volume: str, given: Download) -> web.StreamResponse:
    """Without a snapshot, whose place would be all that it tells."""
    size = (await pool.volume(volume)).size
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    if given.image_format == "raw" and not given.sparse and given.snapshot is None:
        response.content_length = size
    return response
