"""Strangers at an agent's port: they are shown out, and never too many at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from pvc import tcp
from pvc.agent.entrance import entrance, welcome

HELLO = b"GET / HTTP/1.1\r\nHost: node\r\nAuthorization: us\r\n\r\n"


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    """Without end, for those who belong here."""
    if "Authorization" not in request.headers:
        return web.Response(status=401)
    welcome(request)  # type: ignore[arg-type]
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"hello")
    await asyncio.Event().wait()
    return response


@asynccontextmanager
async def opened(most: int, patience_s: float) -> AsyncIterator[socket.socket]:
    listener = await asyncio.to_thread(tcp.listener, "127.0.0.1", 0)
    server = web.Server(answer, handler_cancellation=True, access_log=None)
    async with entrance(listener, server, None, most=most, patience_s=patience_s):
        yield listener
        await server.shutdown(1.0)


async def connect(listener: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*listener.getsockname())


async def test_who_says_nothing_is_shown_out() -> None:
    async with opened(8, 0.05) as listener:
        reader, writer = await connect(listener)
        assert await ended(reader)
        writer.close()


async def test_who_says_the_wrong_thing_again_and_again_is_shown_out() -> None:
    async with opened(8, 0.05) as listener:
        reader, writer = await connect(listener)
        writer.write(HELLO.replace(b"Authorization", b"X-Guess"))
        assert await ended(reader)
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        while await reader.read(1000):
            pass
    except ConnectionResetError:
        return True
    return True


async def test_who_belongs_here_stays_while_others_are_shown_out() -> None:
    async with opened(8, 0.05) as listener:
        follower, writer = await connect(listener)
        writer.write(HELLO)
        await follower.readuntil(b"hello")
        for _ in range(3):
            stranger, his = await connect(listener)
            assert await ended(stranger)
            his.close()
        assert not follower.at_eof()
        writer.close()


async def test_no_more_than_so_many_are_inside_and_the_next_comes_in_when_one_has_gone() -> None:
    async with opened(1, 60.0) as listener:
        first, its = await connect(listener)
        its.write(HELLO)
        await first.readuntil(b"hello")
        second, other = await connect(listener)
        other.write(HELLO)
        asking = asyncio.create_task(second.readuntil(b"hello"))
        await asyncio.wait([asking], timeout=0.05)
        assert not asking.done()
        its.close()
        await asking
        other.close()
