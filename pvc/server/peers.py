"""Asking the agent of a node: by its socket on this machine, else by TLS with the certificate that its record names."""

from __future__ import annotations

import os
from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from pvc import tcp
from pvc.cluster import peers
from pvc.cluster.state import State
from pvc.errors import NodeUnavailable
from pvc.model.records import Node

# Seconds until an answer must have begun, and until one that has an end must be there.
_BEGUN_S, _WHOLE_S = 10.0, 30.0


async def fetch(state: State, node: Node, path: str) -> bytes:
    """Raises NodeUnavailable."""
    try:
        async with timeout(_WHOLE_S), asked(state, node, path) as answer:
            return await answer.read()
    except TimeoutError as exc:
        raise _silent(node, _WHOLE_S) from exc
    except aiohttp.ClientError as exc:
        raise NodeUnavailable(name=node.name, reason="its agent broke off in the middle of an answer") from exc


@asynccontextmanager
async def asked(state: State, node: Node, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer that has begun. Raises NodeUnavailable."""
    async with AsyncExitStack() as stack:
        connector, base, headers = await _way(state, node)
        endless = aiohttp.ClientTimeout(total=None)
        client = aiohttp.ClientSession(base, connector=connector, timeout=endless, headers=headers)
        await stack.enter_async_context(client)
        try:
            async with timeout(_BEGUN_S):
                answer = await stack.enter_async_context(client.get(path, allow_redirects=False))
        except TimeoutError as exc:
            raise _silent(node, _BEGUN_S) from exc
        except aiohttp.ClientError as exc:
            raise NodeUnavailable(name=node.name, reason=_words(exc)) from exc
        if answer.status != 200:
            raise NodeUnavailable(name=node.name, reason=_REFUSALS.get(answer.status, f"it answers {answer.status}"))
        yield answer


async def _way(state: State, node: Node) -> tuple[aiohttp.BaseConnector, str, dict[str, str]]:
    """Where to ask, and what to say there. The key is for whoever has the pinned certificate, and nobody else."""
    if node.peer.startswith("unix:"):
        return aiohttp.UnixConnector(node.peer.removeprefix("unix:")), "http://node", {}
    if node.peer.startswith("https://") and node.fingerprint:
        headers = {"Authorization": f"Bearer {await peers.key_of(state.store)}"}
        pinned = aiohttp.Fingerprint(bytes.fromhex(node.fingerprint))
        return aiohttp.TCPConnector(ssl=pinned, socket_factory=tcp.unconnected), node.peer, headers
    raise NodeUnavailable(name=node.name, reason="it never said where its agent answers")


_REFUSALS = {401: "its agent does not take this server for one of its cluster"}


def _silent(node: Node, waited_s: float) -> NodeUnavailable:
    return NodeUnavailable(name=node.name, reason=f"its agent did not answer within {waited_s:g} s")


def _words(exc: aiohttp.ClientError) -> str:
    match exc:
        case aiohttp.ServerFingerprintMismatch():
            return "what answers at its address does not have the certificate that its agent recorded"
        case aiohttp.ClientConnectorError():
            number = exc.os_error.errno
            return f"its agent cannot be reached: {os.strerror(number) if number else exc.os_error}"
        case _:
            return f"its agent broke off: {exc}"
