"""/vm/{vm}/console: fetched from the node that has it, never stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec
from aiohttp import web

from pvc.errors import InvalidInput, NodeUnavailable
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.session import state_of

endpoints = Endpoints()

_MOST_LINES = 100_000


class Query(msgspec.Struct):
    lines: int = 50
    follow: bool = False


@endpoints.get("/vm/{vm}/console", "What a VM's guest wrote to its console.", Query, answer=Answer.TEXT)
async def get_console(request: web.Request, query: Query) -> web.StreamResponse:
    """An object, or with follow=true an endless text: what came so far and all that comes."""
    if not 0 <= query.lines <= _MOST_LINES:
        raise InvalidInput({"lines": f"must be 0 to {_MOST_LINES}"})
    state = state_of(request)
    vm = (await state.find_vm(request.match_info["vm"])).record
    node = (await state.node(vm.node)).record
    path = f"/console/{vm.uuid}?lines={query.lines}&follow={str(query.follow).lower()}"
    async with _ask(node.name, node.peer, path) as answer:
        if not query.follow:
            text = (await answer.read()).decode(errors="replace")
            return web.json_response({"name": vm.name, "data": text})
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        with suppress(ConnectionResetError, aiohttp.ClientPayloadError):  # either end has hung up
            async for data in answer.content.iter_any():
                await response.write(data)
        return response


@asynccontextmanager
async def _ask(node: str, peer: str, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """Raises NodeUnavailable."""
    connector = aiohttp.UnixConnector(peer.removeprefix("unix:"))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        try:
            async with client.get(f"http://node{path}", raise_for_status=True) as answer:
                yield answer
        except aiohttp.ClientError as exc:
            raise NodeUnavailable(name=node, reason=str(exc)) from exc
