"""Images as they stream into volumes: by one connection or several, or fetched."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web

from pvc.cluster import leftovers, tasks, volumes
from pvc.cluster.state import State
from pvc.config import Upload as Limits
from pvc.errors import Conflict, InvalidImage, InvalidInput, PVCError
from pvc.images import sparse
from pvc.images.receive import Received, Report, receive
from pvc.model.records import Role, Task
from pvc.server import fetching, receptions, working
from pvc.server.bodies import hang_up, image, is_multipart, is_sparse
from pvc.server.endpoints import Endpoints
from pvc.server.errors import refused
from pvc.server.fetching import fetched
from pvc.server.parts import CONFIG, message, who
from pvc.server.receptions import RECEPTIONS, Chunk, Leg, Reception
from pvc.server.rules import Rule
from pvc.server.session import state_of
from pvc.server.volumes import pool_in, volume_in
from pvc.storage.base import Pool

endpoints = Endpoints()

_SHA256 = re.compile("[0-9a-f]{64}")
_OFFSET = re.compile("[0-9]{1,18}")
_PATH = "/storage/ceph/volume/{pool}/{volume}/upload"

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
    qed, vmdk, vdi, vpc or vhdx. verify: read the volume's new content back before it is put in place. resume: wait a
    while when the connection breaks, for the client to go on; it names the upload by this word of its own then. url:
    what the server fetches instead of a body. wait: for the end of that; else its task is the answer.
    """

    image_format: str
    checksum: Checksum | None = None
    image_size: int | None = None
    verify: bool = False
    resume: str | None = None
    url: str | None = None
    wait: bool = True


class Resumed(msgspec.Struct):
    """resume: as the upload began."""

    resume: str


@endpoints.post(_PATH, "Write an image into a volume.", Upload, image=True)
async def upload(request: web.Request, given: Upload) -> web.Response:
    """Everything that can be refused is refused before the first byte of the image is read."""
    checksum = checksum_in(given.checksum)
    _check(request, given)
    pool, name = await pool_in(request), volume_in(request)
    state, config = state_of(request), request.app[CONFIG]
    await pool.volume(name)
    await receptions.make_way(request, f"{pool.name}/{name}")
    task = tasks.new(state, leftovers.UPLOAD, ("volume", f"{pool.name}/{name}"), name, who=who(request))
    task = msgspec.structs.replace(task, node=config.agent.node_name)
    writing = Writing(request.app, state, task, pool, name, given, checksum, request.content_length)
    if given.url is not None:
        return await _fetch(writing, given.url)
    with image(request, given.image_size, raw=given.image_format == "raw") as (chunks, length):
        if given.resume is not None and length is not None:
            return await _begin(request, writing, given.resume, chunks, length)
        return writing.answer(await writing.run(lambda _report: chunks, length, config.upload))


@dataclass(frozen=True, slots=True)
class Writing:
    """An upload and what is to become of it. checksum, expected: as `receive` takes them."""

    app: web.Application
    state: State
    task: Task
    pool: Pool
    name: str
    given: Upload
    checksum: str | None
    expected: int | None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """What an upload needs to go on."""
        with admitted(self.app, self.task):
            async with volumes.reserved(self.state, self.pool.name, self.name, leftovers.holder(self.task)):
                await volumes.check_idle(self.state, self.pool, self.name)
                yield

    async def run(
        self, source: Callable[[Report], AsyncIterator[Chunk]], length: int | None, limits: Limits
    ) -> Received:
        """Receive with a task that tells how it goes; its end is written whatever happens."""
        async with self.held(), tasks.recorded(self.state, self.task, reason_of) as running:
            received = await self.receive(source(running.report), length, limits, running.report)
            running.result = _result(received)
        return received

    async def receive(
        self, chunks: AsyncIterator[Chunk], length: int | None, limits: Limits, report: Report
    ) -> Received:
        return await receive(
            chunks,
            declared=self.given.image_format,
            pool=self.pool,
            volume=self.name,
            length=length,
            limits=limits,
            report=report,
            checksum=self.checksum,
            verify=self.given.verify,
            expected=self.expected,
        )

    def answer(self, received: Received) -> web.Response:
        verb = "Wrote" if received.format == "raw" else "Converted and wrote"
        return message(
            f'{verb} uploaded file to volume "{self.name}" in pool "{self.pool.name}".',
            bytes=received.received,
            virtual_size=received.virtual_size,
            task=self.task.id,
            **({"sha256": received.sha256} if received.sha256 else {}),
            **({"verified": True} if self.given.verify else {}),
        )


def _result(received: Received) -> str:
    sha256 = f", SHA-256 {received.sha256}" if received.sha256 else ""
    return f"Received {received.received} bytes{sha256}."


async def _fetch(writing: Writing, url: str) -> web.Response:
    """The server is the one who goes on with it, whether or not this request's client stays."""
    limits, done = writing.app[CONFIG].upload, list[Received]()

    async def work(running: tasks.Running, _held: None) -> str:
        async with fetched(url, limits) as (chunks, length):
            done.append(await writing.receive(chunks, length, limits, running.report))
        return _result(done[0])

    if await working.at_work(writing.app, writing.state, writing.task, writing.held(), work, wait=writing.given.wait):
        return writing.answer(done[0])
    return message(
        f'Fetching an image into volume "{writing.name}" in pool "{writing.pool.name}".', task=writing.task.id
    )


async def _begin(
    request: web.Request, writing: Writing, word: str, chunks: AsyncIterator[Chunk], length: int
) -> web.Response:
    """The upload goes on without this request, whose connection may break."""
    config, volume = request.app[CONFIG].upload, f"{writing.pool.name}/{writing.name}"
    # A client that has fallen silent may come back by another connection.
    limits = dataclasses.replace(config, idle_timeout_s=config.idle_timeout_s + config.resume_s)
    reception = Reception((who(request), word), writing.task.id, volume, length, config.resume_s, writing.answer)

    def source(report: Report) -> AsyncIterator[Chunk]:
        request.app[RECEPTIONS][volume] = reception
        return reception.chunks(report)

    async def work() -> Received:
        try:
            return await writing.run(source, length, limits)
        finally:
            if request.app[RECEPTIONS].get(volume) is reception:
                del request.app[RECEPTIONS][volume]

    leg = Leg(chunks, partial(hang_up, request))
    reception.begin(request.app, leg, work)
    return await _told(reception, leg)


@endpoints.get(_PATH, "How far an upload is that can be gone on with.", Resumed, role=Role.OPERATE)
async def tell_offset(request: web.Request, given: Resumed) -> web.Response:
    pool, name = await pool_in(request), volume_in(request)
    return _far(receptions.find(request, f"{pool.name}/{name}", given.resume))


@endpoints.patch(_PATH, "Go on with an upload whose connection broke, from its Upload-Offset.", Resumed, image=True)
async def go_on(request: web.Request, given: Resumed) -> web.Response:
    pool, name = await pool_in(request), volume_in(request)
    reception = receptions.find(request, f"{pool.name}/{name}", given.resume)
    offset = _offset_in(request)
    if is_multipart(request):
        raise InvalidInput({"body": "must be the rest of the image as it is"})
    with image(request, reception.length if is_sparse(request) else None, raw=is_sparse(request), begin=offset) as (
        rest,
        _,
    ):
        leg = Leg(rest, partial(hang_up, request))
        try:
            await reception.go_on(leg, offset)
        except Conflict as exc:
            return _with_offset(refused(exc), reception)
        return await _told(reception, leg)


def _offset_in(request: web.Request) -> int:
    text = request.headers.get("Upload-Offset", "")
    if not _OFFSET.fullmatch(text):
        raise InvalidInput({"Upload-Offset": "must be a header with the number of bytes that the server has"})
    return int(text)


async def _told(reception: Reception, leg: Leg) -> web.Response:
    received = await reception.outcome(leg)
    return _far(reception) if received is None else reception.answer(received)


def _far(reception: Reception) -> web.Response:
    text = f'Received {reception.offset} of {reception.length} bytes for volume "{reception.volume}".'
    answer = message(text, offset=reception.offset, length=reception.length, task=reception.task_id)
    return _with_offset(answer, reception)


def _with_offset(response: web.Response, reception: Reception) -> web.Response:
    response.headers["Upload-Offset"] = str(reception.offset)
    response.headers["Upload-Length"] = str(reception.length)
    response.headers["Cache-Control"] = "no-store"
    return response


def admitted(app: web.Application, task: Task) -> AbstractContextManager[None]:
    """Raises Busy when as many uploads go on as this server takes."""
    config = app[CONFIG]
    return working.admitted(app[UNDER_WAY], task, config.upload.most_at_once, config.agent.node_name, "uploads")


def _check(request: web.Request, given: Upload) -> None:
    problems = _problems_with_size(request, given)
    if given.resume is not None and (
        is_multipart(request) or (request.content_length is None and given.image_size is None)
    ):
        problems["resume"] = "needs the image's length: as Content-Length, or as image_size"
    if given.url is None and not given.wait:
        problems["wait"] = "goes with an image that the server fetches"
    if given.url is not None and (given.resume is not None or request.can_read_body):
        problems["url"] = "goes neither with a body nor with what concerns one"
    if problems:
        raise InvalidInput(problems)
    if given.url is not None:
        fetching.check(given.url, request.app[CONFIG].upload.fetch_from)


def _problems_with_size(request: web.Request, given: Upload) -> dict[str, str]:
    problems = {}
    if is_sparse(request):
        if given.image_size is None or given.image_size <= 0:
            problems["image_size"] = "must be the size of the image with its holes"
        if given.image_format != "raw":
            problems["image_format"] = 'must be "raw" where holes are left out'
    elif given.image_size is not None:
        problems["image_size"] = f"goes with a body of the type {sparse.CONTENT_TYPE}"
    return problems


def reason_of(exc: BaseException) -> PVCError:
    """Why an upload ended, where it was not refused."""
    if isinstance(exc, (ConnectionError, asyncio.CancelledError)):
        return InvalidImage(problem="the client went away during the upload")
    return PVCError(reason="the log of pvc serve has it")
