"""Logs of nodes and consoles of guests: from the node that has them to the client, and kept nowhere in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

import aiohttp
import msgspec
from aiohttp import web

from pvc.cluster.state import State
from pvc.model.records import Node
from pvc.server import peers
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.hangup import when_hung_up
from pvc.server.session import state_of

endpoints = Endpoints()

_MOST_LINES = 100_000


class Query(msgspec.Struct):
    lines: Annotated[int, msgspec.Meta(ge=0, le=_MOST_LINES)] = 50
    follow: bool = False


@endpoints.get("/vm/{vm}/console", "What a VM's guest wrote to its console.", Query, answer=Answer.TEXT)
async def get_console(request: web.Request, query: Query) -> web.StreamResponse:
    """An object, or with follow=true an endless text: what came so far and all that comes."""
    state = state_of(request)
    vm = (await state.find_vm(request.match_info["vm"])).record
    node = (await state.node(vm.node)).record
    return await _answer(request, query, vm.name, node, f"/console/{vm.uuid}")


@endpoints.get("/node/{node}/log", "What a node's agent logged.", Query, answer=Answer.TEXT)
async def get_node_log(request: web.Request, query: Query) -> web.StreamResponse:
    """As a console, of what the node's agent logs."""
    node = (await state_of(request).node(request.match_info["node"])).record
    return await _answer(request, query, node.name, node, "/log")


async def _answer(request: web.Request, query: Query, name: str, node: Node, path: str) -> web.StreamResponse:
    state, path = state_of(request), f"{path}?lines={query.lines}&follow={str(query.follow).lower()}"
    if query.follow:
        return await _follow(request, state, node, path)
    text = (await peers.fetch(state, node, path)).decode(errors="replace")
    return web.json_response({"name": name, "data": text})


async def _follow(request: web.Request, state: State, node: Node, path: str) -> web.StreamResponse:
    """Until either end hangs up; a log that is silent does not keep a client that is gone."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    response.force_close()
    async with peers.asked(state, node, path) as answer:
        await response.prepare(request)
        copying = asyncio.ensure_future(_copy(_pieces(node.name, answer), response))
        when_hung_up(request, copying.cancel)
        try:
            await copying
        except asyncio.CancelledError:
            if request.transport is not None:
                raise
    return response


async def _copy(pieces: AsyncIterator[bytes], response: web.StreamResponse) -> None:
    with suppress(ConnectionResetError):
        async for piece in pieces:
            await response.write(piece)


async def _pieces(node: str, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """All that comes, and a last line, for a log has no end of its own."""
    with suppress(aiohttp.ClientError, OSError):
        async for piece in answer.content.iter_any():
            yield piece
    yield f'\nNode "{node}" does not answer any more; what follows is not shown.\n'.encode()
