"""/events: what happens in the cluster, as it happens, to any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
from aiohttp import web

from pvc.errors import Busy, PVCError, TooOld, Unavailable
from pvc.model.events import Kind
from pvc.server.auth import admit
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.feed import Feed, Told
from pvc.server.hangup import when_hung_up
from pvc.server.parts import CONFIG
from pvc.server.session import SESSION, view_of

endpoints = Endpoints()

# Seconds of silence before a comment says that the connection lives.
_BEAT_S = 15.0
# Seconds that a reader may leave what was sent to it untaken.
_PATIENCE_S = 60.0
_MOST_READERS = 1000
# Events that are sent at once.
_PIECE = 200

READERS = web.AppKey("readers of events", set[asyncio.Task[None]])
_STREAM = "text/event-stream"
_HEAD = {"Content-Type": _STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Wanted(msgspec.Struct):
    """kind, name: one of these; name: a thing's name or id. after: an event's id or a revision, to go on from there.

    follow: a stream of what comes instead of a list of what was; who accepts only a stream need not say so.
    """

    kind: tuple[Kind, ...] = ()
    name: tuple[str, ...] = ()
    after: str | None = None
    follow: bool = False


@endpoints.get("/events", "What happened in the cluster, or happens.", Wanted, answer=Answer.EVENTS)
async def get_events(request: web.Request, wanted: Wanted) -> web.StreamResponse:
    await view_of(request)
    feed = request.app[SESSION].feed
    after = request.headers.get("Last-Event-ID") or wanted.after
    if request.method == "GET" and (wanted.follow or _STREAM in request.headers.get("Accept", "")):
        return await _follow(request, feed, after, _chooser(wanted))
    position = feed.oldest if after is None else feed.position(after)
    chosen = filter(_chooser(wanted), feed.after(position, most=feed.kept))
    return web.Response(body=b"[" + b",".join(one.text for one in chosen) + b"]", content_type="application/json")


async def end_all(app: web.Application) -> None:
    app[SESSION].feed.end("it is being stopped")


def _chooser(wanted: Wanted) -> Callable[[Told], bool]:
    kinds, names = frozenset(map(str, wanted.kind)), frozenset(wanted.name)
    return lambda told: (not kinds or told.kind in kinds) and (not names or not names.isdisjoint(told.names))


async def _follow(
    request: web.Request, feed: Feed, after: str | None, chosen: Callable[[Told], bool]
) -> web.StreamResponse:
    """Until either end hangs up. What cannot be gone on from is said in the stream, which is then as if begun anew."""
    readers = request.app[READERS]
    if len(readers) >= _MOST_READERS:
        holder = f"{_MOST_READERS} readers of events, the most it takes"
        raise Busy(kind="server", name=request.app[CONFIG].agent.node_name, holder=holder)
    try:
        position, first = feed.position(after), b""
    except TooOld as exc:
        position, first = feed.position(None), _named("reload", exc)
    response = web.StreamResponse(headers=_HEAD)
    response.force_close()
    await response.prepare(request)
    reading = asyncio.create_task(_Reader(request, response, feed, chosen).read(position, first))
    readers.add(reading)
    reading.add_done_callback(readers.discard)
    when_hung_up(request, reading.cancel)
    try:
        await reading
    except asyncio.CancelledError:
        if request.transport is not None:
            raise
    finally:
        reading.cancel()
    return response


class _Reader:
    """One stream of events, by its place among all that are kept."""

    def __init__(
        self, request: web.Request, response: web.StreamResponse, feed: Feed, chosen: Callable[[Told], bool]
    ) -> None:
        self._request, self._response = request, response
        self._feed, self._chosen = feed, chosen
        self._position = 0

    async def read(self, position: int, first: bytes) -> None:
        """first: what is to be said before all events."""
        self._position = position
        with suppress(ConnectionError):
            try:
                await self._send(b"retry: 2000\n" + self._place() + first)
                await self._all_that_comes()
            except TimeoutError:
                if self._request.transport is not None:
                    self._request.transport.abort()  # it takes nothing: nor would it hear a reason
            except PVCError as exc:
                await self._send(_named("end", exc))

    async def _all_that_comes(self) -> None:
        """Raises PVCError with what to tell when it is over, TimeoutError for a reader that takes nothing."""
        while True:
            try:
                told = self._feed.after(self._position, _PIECE)
            except TooOld as exc:
                self._position = self._feed.position(None)
                await self._send(_named("reload", exc) + self._place())
                continue
            if told:
                self._position += len(told)
                await self._tell(told)
            elif self._feed.over:
                raise Unavailable(what="This server", reason=self._feed.over)
            else:
                await self._wait()
            admit(self._request)

    async def _tell(self, told: Sequence[Told]) -> None:
        text = b"".join(_event(one) for one in told if self._chosen(one))
        if text:
            await self._send(text)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_BEAT_S):
                await self._feed.more(self._position)
        except TimeoutError:
            await self._send(b":\n" + self._place())

    def _place(self) -> bytes:
        """Tells a reader that has had everything where it is, without an event."""
        return f"id: {self._feed.id}\n\n".encode() if self._position == self._feed.position(None) else b"\n"

    async def _send(self, text: bytes) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await self._response.write(text)


def _event(told: Told) -> bytes:
    return f"id: {told.id}\nevent: {told.kind}\ndata: ".encode() + told.text + b"\n\n"


def _named(name: str, exc: PVCError) -> bytes:
    data = msgspec.json.encode({"message": str(exc), "code": exc.code})
    return f"event: {name}\ndata: ".encode() + data + b"\n\n"
