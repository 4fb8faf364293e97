"""Connections from the network, most of which may be strangers': so many at once, and whoever does not say in time
that he belongs here is shown out. What the agent needs to open files and reach libvirt is left to it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

log = logging.getLogger("pvc.agent")

# Connections at once, followers of logs too; more wait.
MOST = 256
# Seconds for a handshake, and then for a request that belongs here.
PATIENCE_S = 5.0
# Seconds until another try where the machine itself has no room.
_PAUSE_S = 1.0


class _Guest(asyncio.Protocol):
    """Passes everything on to who answers, and knows when it is over."""

    def __init__(self, host: asyncio.Protocol) -> None:
        self._host = host
        self.welcome = False
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._host.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._host.data_received(data)

    def eof_received(self) -> bool | None:
        return self._host.eof_received()

    def pause_writing(self) -> None:
        self._host.pause_writing()

    def resume_writing(self) -> None:
        self._host.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._host.connection_lost(exc)


def welcome(request: web.Request) -> None:
    """Whoever sent it may stay."""
    guest = request.transport.get_protocol() if request.transport is not None else None
    if isinstance(guest, _Guest):
        guest.welcome = True


@asynccontextmanager
async def entrance(
    listener: socket.socket,
    host: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    *,
    most: int = MOST,
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[None]:
    """Admit while the context lasts; `listener` is closed then. host: makes who answers one connection."""
    listener.setblocking(False)
    doorman = asyncio.create_task(_admit_all(listener, host, context, most, patience_s))
    try:
        yield
    finally:
        doorman.cancel()
        await asyncio.gather(doorman, return_exceptions=True)
        listener.close()


async def _admit_all(
    listener: socket.socket,
    host: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    most: int,
    patience_s: float,
) -> None:
    room = asyncio.Semaphore(most)
    async with asyncio.TaskGroup() as guests:
        while True:
            await room.acquire()
            connection = await _next(listener)
            task = guests.create_task(_admit(connection, _Guest(host()), context, patience_s))
            task.add_done_callback(lambda _: room.release())


async def _next(listener: socket.socket) -> socket.socket:
    while True:
        try:
            return (await asyncio.get_running_loop().sock_accept(listener))[0]
        except OSError as exc:
            log.warning("A connection could not be taken: %s", exc)
            await asyncio.sleep(_PAUSE_S)


async def _admit(connection: socket.socket, guest: _Guest, context: ssl.SSLContext | None, patience_s: float) -> None:
    """Until it is over."""
    handshake_s = patience_s if context is not None else None
    with suppress(OSError):  # the handshake came to nothing
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: guest, connection, ssl=context, ssl_handshake_timeout=handshake_s
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await guest.gone.wait()
        if not guest.welcome:
            transport.abort()
        await guest.gone.wait()
