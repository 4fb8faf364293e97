"""Uploads that outlive their connection: what one client's connection broke off, its next one goes on with.

What was received is not kept aside: the one who receives waits for the next bytes, with the draft open and the volume's
lock held, and never knows by how many connections they came (docs/design/023).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from pvc.errors import Cancelled, Conflict, InvalidImage, NotFound, PVCError
from pvc.images.receive import Received, Report
from pvc.images.sparse import Hole
from pvc.server.parts import who
from pvc.server.working import AT_WORK

Chunk = bytes | Hole


class Leg:
    """What comes by one connection. over: nothing more is read of it, and it was not refused."""

    def __init__(self, chunks: AsyncIterator[Chunk], hang_up: Callable[[], object]) -> None:
        self.chunks, self.hang_up = chunks, hang_up
        self.over = asyncio.Event()


class Reception:
    """One upload. offset: bytes of it that were taken in, holes included."""

    def __init__(
        self,
        owner: tuple[str, str],
        task_id: str,
        volume: str,
        length: int,
        patience_s: float,
        answer: Callable[[Received], web.Response],
    ) -> None:
        """owner: the user, and the word by which he names it. volume: POOL/NAME. patience_s: how long the next
        connection is waited for. answer: when all is done.
        """
        self.owner, self.task_id, self.volume, self.length, self.answer = owner, task_id, volume, length, answer
        self.offset = 0
        self._patience_s = patience_s
        self._leg: Leg | None = None
        self._coming = asyncio.Queue[Leg | PVCError]()
        self._job: asyncio.Task[Received] | None = None

    @property
    def is_interrupted(self) -> bool:
        return self._leg is None and self.offset < self.length

    @property
    def _has_ended(self) -> bool:
        return self._job is not None and self._job.done()

    async def chunks(self, report: Report) -> AsyncIterator[Chunk]:
        """Yield the upload, leg after leg. Raises InvalidImage when the next one does not come in time."""
        while self.offset < self.length:
            if self.is_interrupted:
                report("interrupted", self.offset, self.length)
            leg = await self._next()
            try:
                async for chunk in leg.chunks:
                    self.offset += len(chunk)
                    yield chunk
            except (InvalidImage, ConnectionError) as exc:
                if not _is_break(exc):
                    raise
            self._leg = None
            leg.over.set()

    def begin(self, app: web.Application, leg: Leg, work: Callable[[], Awaitable[Received]]) -> None:
        """work: reads `chunks`."""
        self._put(leg)
        self._job = asyncio.ensure_future(work())
        app[AT_WORK].add(self._job)
        self._job.add_done_callback(app[AT_WORK].discard)
        self._job.add_done_callback(_heard)

    async def go_on(self, leg: Leg, offset: int) -> None:
        """With the next connection; one that is still there, dead perhaps, is hung up. Raises Conflict."""
        while (old := self._leg) is not None and self.offset < self.length and not self._has_ended:
            old.hang_up()
            await self._until(old)
        if offset != self.offset:
            problem = f"goes on at byte {self.offset}, not at {offset}"
            raise Conflict(kind="upload", name=self.volume, problem=problem, offset=self.offset)
        self._put(leg)

    async def outcome(self, leg: Leg) -> Received | None:
        """What came of the upload; None when the leg was over before. Raises what the work raised."""
        await self._until(leg)
        if self._job is None or (leg.over.is_set() and self.offset < self.length):
            return None
        return await asyncio.shield(self._job)

    async def make_way(self) -> None:
        """End it, interrupted as it is, for another upload."""
        outlook = ": another one took its place"
        self._coming.put_nowait(Cancelled(what=f'The upload to volume "{self.volume}"', outlook=outlook))
        if self._job is not None:
            await asyncio.wait((self._job,))

    def _put(self, leg: Leg) -> None:
        self._leg = leg
        self._coming.put_nowait(leg)

    async def _next(self) -> Leg:
        try:
            async with asyncio.timeout(self._patience_s):
                leg = await self._coming.get()
        except TimeoutError as exc:
            waited = f"and did not go on within {self._patience_s:g} s"
            raise InvalidImage(problem=f"the client went away after {self.offset} bytes, {waited}") from exc
        if isinstance(leg, PVCError):
            raise leg
        return leg

    async def _until(self, leg: Leg) -> None:
        """Return when the leg is over, or all of the upload."""
        over = asyncio.ensure_future(leg.over.wait())
        await asyncio.wait({over, self._job} if self._job else {over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()


RECEPTIONS = web.AppKey("receptions", dict[str, Reception])


def find(request: web.Request, volume: str, word: str) -> Reception:
    """volume: POOL/NAME. Raises NotFound: also where it is somebody else's, or another one of the same user."""
    reception = request.app[RECEPTIONS].get(volume)
    if reception is None or reception.owner != (who(request), word):
        raise NotFound(kind="such upload to volume", name=volume)
    return reception


async def make_way(request: web.Request, volume: str) -> None:
    """End this user's interrupted upload to the volume, if there is one: he begins anew."""
    reception = request.app[RECEPTIONS].get(volume)
    if reception is not None and reception.owner[0] == who(request) and reception.is_interrupted:
        await reception.make_way()


def _is_break(exc: Exception) -> bool:
    """Whether the connection is what ended, and not the image."""
    return isinstance(exc, ConnectionError) or isinstance(exc.__cause__, (ClientPayloadError, HttpProcessingError))


def _heard(job: asyncio.Task[Received]) -> None:
    """What it raised is told by its task, where nobody waits for the answer any more."""
    if not job.cancelled():
        job.exception()
