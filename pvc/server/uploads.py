"""Images as they stream in: the request's body, whole or without holes, or the multipart field `file`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

import aiohttp
import msgspec
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from pvc.cluster import leftovers, tasks, volumes
from pvc.errors import Busy, InvalidImage, InvalidInput, PVCError
from pvc.images import sparse
from pvc.images.receive import Received, receive
from pvc.model.records import Task
from pvc.server.endpoints import Endpoints
from pvc.server.measures import MEASURES
from pvc.server.parts import CONFIG, message, who
from pvc.server.rules import Rule
from pvc.server.session import state_of
from pvc.server.volumes import pool_in, volume_in
from pvc.storage.base import Pool

endpoints = Endpoints()

# aiohttp's own 8 KiB costs four times the processor time of this (measured, see docs/design/002).
_PART_PIECE = 256 * 1024
_SHA256 = re.compile("[0-9a-f]{64}")

UNDER_WAY = web.AppKey("uploads under way", set[str])


def checksum_in(text: str | None) -> str | None:
    """As `receive` takes it. Raises ValueError with a phrase."""
    kind, colon, digits = (text or "").lower().partition(":")
    if text is None or (kind == "sha256" and (not colon or _SHA256.fullmatch(digits))):
        return None if text is None else digits
    raise ValueError('must be "sha256", or "sha256:" and 64 hexadecimal digits')


Checksum = Annotated[str, Rule(checksum_in)]


class Upload(msgspec.Struct):
    """checksum: "sha256" to be told that of the upload, "sha256:HEX" to have it refused unless it is this one.

    image_size: bytes of the image, holes included; only and always of a body without them. image_format: raw, qcow2,
    qed, vmdk, vdi, vpc or vhdx. verify: read the volume's new content back before it is put in place.
    """

    image_format: str
    checksum: Checksum | None = None
    image_size: int | None = None
    verify: bool = False


@endpoints.post("/storage/ceph/volume/{pool}/{volume}/upload", "Write an image into a volume.", Upload, image=True)
async def upload(request: web.Request, given: Upload) -> web.Response:
    """Everything that can be refused is refused before the first byte of the image is read."""
    checksum = checksum_in(given.checksum)
    _check_sparse(request, given)
    pool, name = await pool_in(request), volume_in(request)
    state, config = state_of(request), request.app[CONFIG]
    await pool.volume(name)
    task = tasks.new(state, leftovers.UPLOAD, ("volume", f"{pool.name}/{name}"), name, who=who(request))
    task = msgspec.structs.replace(task, node=config.agent.node_name)
    with admitted(request, task):
        async with volumes.reserved(state, pool.name, name, leftovers.holder(task)):
            await volumes.check_idle(state, pool, name)
            received = await _run(request, task, pool, name, given, checksum)
    return _answer(pool, name, received, task.id, verified=given.verify)


def _answer(pool: Pool, name: str, received: Received, task_id: str, *, verified: bool) -> web.Response:
    verb = "Wrote" if received.format == "raw" else "Converted and wrote"
    return message(
        f'{verb} uploaded file to volume "{name}" in pool "{pool.name}".',
        bytes=received.received,
        virtual_size=received.virtual_size,
        task=task_id,
        **({"sha256": received.sha256} if received.sha256 else {}),
        **({"verified": True} if verified else {}),
    )


@contextmanager
def admitted(request: web.Request, task: Task) -> Iterator[None]:
    """Raises Busy when as many uploads go on as this server takes."""
    config, under_way = request.app[CONFIG], request.app[UNDER_WAY]
    if len(under_way) >= config.upload.most_at_once:
        raise Busy(kind="server", name=config.agent.node_name, holder=f"{len(under_way)} uploads, the most it takes")
    under_way.add(task.id)
    try:
        yield
    finally:
        under_way.discard(task.id)


def _check_sparse(request: web.Request, given: Upload) -> None:
    problems = {}
    if _is_sparse(request):
        if given.image_size is None or given.image_size <= 0:
            problems["image_size"] = "must be the size of the image with its holes"
        if given.image_format != "raw":
            problems["image_format"] = 'must be "raw" where holes are left out'
    elif given.image_size is not None:
        problems["image_size"] = f"goes with a body of the type {sparse.CONTENT_TYPE}"
    if problems:
        raise InvalidInput(problems)


async def _run(
    request: web.Request, task: Task, pool: Pool, name: str, given: Upload, checksum: str | None
) -> Received:
    """Receive with a task that tells how it goes; its end is written whatever happens."""
    async with tasks.recorded(state_of(request), task, reason_of) as running:
        chunks, length = _body(request, given.image_size)
        received = await receive(
            chunks,
            declared=given.image_format,
            pool=pool,
            volume=name,
            length=length,
            limits=request.app[CONFIG].upload,
            report=running.report,
            checksum=checksum,
            verify=given.verify,
        )
        sha256 = f", SHA-256 {received.sha256}" if received.sha256 else ""
        running.result = f"Received {received.received} bytes{sha256}."
    return received


def reason_of(exc: BaseException) -> PVCError:
    """Why an upload ended, where it was not refused."""
    if isinstance(exc, (ConnectionError, asyncio.CancelledError)):
        return InvalidImage(problem="the client went away during the upload")
    return PVCError(reason="the log of pvc serve has it")


def _is_multipart(request: web.Request) -> bool:
    return request.content_type == "multipart/form-data"


def _is_sparse(request: web.Request) -> bool:
    return request.content_type == sparse.CONTENT_TYPE


def _body(request: web.Request, image_size: int | None) -> tuple[AsyncIterator[bytes | sparse.Hole], int | None]:
    """And how long the image is, where that is known."""
    if image_size is not None:
        return sparse.unframed(_plain(request), image_size), image_size
    return body(request)


def body(request: web.Request) -> tuple[AsyncIterator[bytes], int | None]:
    """What is uploaded, and how long it is, where that is known."""
    if _is_multipart(request):
        return _parts(request), None
    return _plain(request), request.content_length


async def _plain(request: web.Request) -> AsyncIterator[bytes]:
    try:
        while data := await request.content.readany():
            request.app[MEASURES].uploaded += len(data)
            yield data
    except (HttpProcessingError, aiohttp.ClientPayloadError) as exc:
        raise InvalidImage(problem="the request's body is malformed or ends too early") from exc


async def _parts(request: web.Request) -> AsyncIterator[bytes]:
    """The content of the part called "file". Raises InvalidInput without one, InvalidImage when it is cut off."""
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader) and part.name == "file":
                while data := await part.read_chunk(_PART_PIECE):
                    request.app[MEASURES].uploaded += len(data)
                    yield bytes(data)
                return
    except (ValueError, HttpProcessingError) as exc:
        raise InvalidImage(problem="the multipart body is malformed or ends too early") from exc
    raise InvalidInput({"file": "is missing"})
