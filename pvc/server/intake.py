"""A large request body, read from its socket into the memory that is then written: past aiohttp, which copies it twice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import hdrs, web

from pvc.errors import InvalidImage
from pvc.server.measures import MEASURES, Measures

_PATIENCE_S = 0.5  # how long a piece is waited for before what came of it is passed on


def can_be_taken(request: web.Request) -> bool:
    """Whether the body stands on the socket as it is: not in chunks, not encrypted, not packed."""
    transport = request.transport
    return (
        request.content_length is not None
        and hdrs.CONTENT_ENCODING not in request.headers
        and transport is not None
        and transport.get_extra_info("socket") is not None
        and transport.get_extra_info("sslcontext") is None
    )


@contextmanager
def taken(request: web.Request) -> Iterator[Intake]:
    """The body of a request that `can_be_taken`. Its answer must close the connection: aiohttp lost track of it."""
    transport, content = request.transport, request.content
    if transport is None:
        raise ConnectionResetError
    held = bytearray()
    while part := content.read_nowait():  # aiohttp may go on reading for each
        held += part
    transport.pause_reading()
    with transport.get_extra_info("socket").dup() as sock:
        sock.setblocking(False)
        intake = Intake(sock, held, request.content_length or 0, request.app[MEASURES])
        try:
            yield intake
        finally:
            if intake.left:
                transport.resume_reading()  # aiohttp throws away what comes until the client has heard the refusal
            else:
                content.feed_eof()
                transport.pause_reading()


class Intake:
    """left: bytes of the body that are still to be taken. Raises ConnectionError when the client goes away."""

    def __init__(self, sock: socket.socket, held: bytearray, left: int, measures: Measures) -> None:
        """held: the first of those bytes, which were read already."""
        self._socket, self._held, self._measures = sock, held, measures
        self.left = left

    async def ended(self) -> bool:
        return self.left == 0

    async def exactly(self, length: int) -> bytearray:
        """Raises InvalidImage when there is less."""
        taken = await self.up_to(length)
        while len(taken) < length:
            taken += await self.up_to(length - len(taken))
        return taken

    async def up_to(self, length: int) -> bytearray:
        """At least a byte; less than `length` only at the end, or where the client is slow. Raises InvalidImage there."""
        if self.left == 0:
            raise InvalidImage(problem="the upload ended before its last frame")
        buffer = bytearray(min(length, self.left))
        with memoryview(buffer) as view:
            filled = await self._fill(view)
        del buffer[filled:]
        self.left -= filled
        self._measures.uploaded += filled
        return buffer

    async def _fill(self, view: memoryview) -> int:
        patience = asyncio.get_running_loop().time() + _PATIENCE_S
        filled = self._hand_out(view)
        while filled < len(view):
            if (count := self._receive(view, filled)) is not None:
                filled += count
            elif not await self._more(patience if filled else None):
                break
        return filled

    def _hand_out(self, view: memoryview) -> int:
        count = min(len(view), len(self._held))
        view[:count] = self._held[:count]
        del self._held[:count]
        return count

    def _receive(self, view: memoryview, start: int) -> int | None:
        """None when there is nothing yet."""
        with view[start:] as rest:
            try:
                count = self._socket.recv_into(rest)
            except BlockingIOError:
                return None
        if count == 0:
            raise ConnectionResetError("the client closed the connection")
        return count

    async def _more(self, until: float | None) -> bool:
        """Wait for it, up to that time of the event loop."""
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, there.set)
        try:
            async with asyncio.timeout_at(until):
                await there.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._socket)
        return True
