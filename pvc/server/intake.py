"""A large request body, read from its socket past aiohttp, in as large pieces as there are."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import hdrs, web

from pvc.errors import InvalidImage
from pvc.images import sparse
from pvc.server.measures import MEASURES, Measures

_TAKEN = web.RequestKey("taken", bool)


def can_be_taken(request: web.Request) -> bool:
    """Whether the body stands on the socket as it is: not in chunks, not encrypted, not packed."""
    transport = request.transport
    return (
        bool(request.content_length)
        and hdrs.CONTENT_ENCODING not in request.headers
        and transport is not None
        and transport.get_extra_info("socket") is not None
        and transport.get_extra_info("sslcontext") is None
    )


@contextmanager
def taken(request: web.Request) -> Iterator[Intake]:
    """The body of a request that `can_be_taken`."""
    transport, content = request.transport, request.content
    if transport is None:
        raise ConnectionResetError
    request[_TAKEN] = True
    held = b""
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


async def end_connection(request: web.Request, response: web.StreamResponse) -> None:
    """After a body that was taken: aiohttp does not know where it ended."""
    if _TAKEN in request:
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"  # the other headers stand already


class Intake:
    """left: bytes of the body that are still to be taken. Raises ConnectionError when the client goes away."""

    def __init__(self, sock: socket.socket, held: bytes, left: int, measures: Measures) -> None:
        """held: the first of those bytes, which were read already."""
        self._socket, self._held, self._measures = sock, held, measures
        self.left = left

    async def ended(self) -> bool:
        return self.left == 0

    async def exactly(self, length: int) -> bytes:
        parts: list[bytes] = []
        while length:
            parts.append(await self.up_to(length))
            length -= len(parts[-1])
        return b"".join(parts)

    async def up_to(self, length: int) -> bytes:
        """At least a byte: what there is, in one piece. Raises InvalidImage at the end."""
        if self.left == 0:
            raise InvalidImage(problem=sparse.TOO_SHORT)
        length = min(length, self.left)
        data, self._held = self._held[:length], self._held[length:]
        while not data:
            data = await self._receive(length)
        self.left -= len(data)
        self._measures.uploaded += len(data)
        return data

    async def _receive(self, length: int) -> bytes:
        """Empty when there was nothing yet."""
        try:
            data = self._socket.recv(length)
        except BlockingIOError:
            await self._readable()
            return b""
        if not data:
            raise ConnectionResetError("the client closed the connection")
        return data

    async def _readable(self) -> None:
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, there.set)
        try:
            await there.wait()
        finally:
            loop.remove_reader(self._socket)
