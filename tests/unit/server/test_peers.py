"""Consoles and logs from a node elsewhere: only from the node itself, only for the cluster's own servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from pvc.agent import certificate, peer
from pvc.agent.peer import Answering
from pvc.cluster import nodes, peers
from pvc.model.records import Node, encode
from pvc.store.base import Put
from tests.parts import documents
from tests.parts.ports import free_port
from tests.unit.server.site import BASE, NODE, TOKEN, Answer, Site, door

LATE = 30  # seconds after which a test that waits has failed


@dataclass
class Far:
    """A node whose agent answers on the network."""

    site: Site
    here: Answering
    uuid: str
    life: AsyncExitStack

    @property
    def console(self) -> Path:
        return self.site.folder / "consoles" / f"{self.uuid}.log"

    @property
    def log(self) -> Path:
        return self.site.folder / "agent.log"

    def follow(self, path: str = "/vm/web1/console", lines: int = 10) -> str:
        return f"http://pvc{BASE}{path}?follow=true&lines={lines}"


@pytest.fixture
async def far(bare: Site) -> AsyncIterator[Far]:
    async with AsyncExitStack() as life:
        here = await life.enter_async_context(peer.answering(door(bare, f"127.0.0.1:{free_port()}")))
        here.key = await peers.key_of(bare.state.store)
        await nodes.join(bare.state, Node(name=NODE, peer=here.address, fingerprint=here.fingerprint))
        given = await bare.ask("POST", "/vm", json={"xml": documents.vm("web1"), "node": NODE})
        yield Far(bare, here, given.body["uuid"], life)


async def say(site: Site, **changes: str) -> None:
    """Change what the node's record says of its agent."""
    held = await site.state.node(NODE)
    said = replace(held.record, **changes)
    await site.state.store.commit(Put(site.state.paths.node(NODE), encode(said), held.version))


async def refusal(site: Site, path: str = "/vm/web1/console", **query: str) -> str:
    answer = await site.ask("GET", path, query)
    assert (answer.status, answer.code) == (503, "node_unavailable")
    return answer.message


async def test_a_console_and_a_log_come_from_the_node_that_has_them(far: Far) -> None:
    far.console.write_bytes(b"one\ntwo\n")
    far.log.write_bytes(b"began\nended\n")
    console: Answer = await far.site.ask("GET", "/vm/web1/console", {"lines": 1})
    assert console.body == {"name": "web1", "data": "two\n"}
    assert (await far.site.ask("GET", f"/node/{NODE}/log")).body == {"name": NODE, "data": "began\nended\n"}


@pytest.mark.parametrize("of", ["console", "log"])
async def test_what_comes_is_streamed(far: Far, of: str) -> None:
    file, path = (far.console, "/vm/web1/console") if of == "console" else (far.log, f"/node/{NODE}/log")
    file.write_bytes(b"one\ntwo\n")
    async with asyncio.timeout(LATE), far.site.client.get(far.follow(path, lines=1)) as answer:
        assert await answer.content.readline() == b"two\n"
        with file.open("ab") as log:
            log.write(b"three\n")
        assert await answer.content.readline() == b"three\n"


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", "Basic KEY", "KEY", "bearer KEY", "Bearer KEYx"])
@pytest.mark.parametrize("path", ["/log", "/console/7d9c1b0e-7e4f-4b57-9f0b-0c8f6a7d3c21", "/", "/secret"])
async def test_a_stranger_on_the_port_learns_nothing(far: Far, path: str, given: str) -> None:
    far.log.write_bytes(b"a line of the log\n")
    headers = {"Authorization": given.replace("KEY", far.here.key)} if given else {}
    async with far.site.network.get(far.here.address + path, ssl=False, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (401, b"")
        assert set(answer.headers) <= {"Content-Length", "Content-Type", "Date"}


async def test_whoever_has_the_key_is_answered(far: Far) -> None:
    """The refusals above are for the key's sake and nothing else's."""
    headers = {"Authorization": f"Bearer {far.here.key}"}
    async with far.site.network.get(f"{far.here.address}/log", ssl=False, headers=headers) as answer:
        assert answer.status == 200


async def test_nobody_is_known_before_the_key_is(far: Far) -> None:
    far.here.key = ""
    for given in ("", "Bearer ", "Bearer"):
        headers = {"Authorization": given}
        async with far.site.network.get(f"{far.here.address}/log", ssl=False, headers=headers) as answer:
            assert answer.status == 401
    assert await refusal(far.site) == (
        f'Node "{NODE}" is not available: its agent does not take this server for one of its cluster'
    )


async def test_a_node_that_is_impersonated_is_told_no_key(far: Far) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    other = await certificate.make()
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=other.context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await say(far.site, peer=f"https://127.0.0.1:{port}")
        assert await refusal(far.site) == (
            f'Node "{NODE}" is not available: what answers at its address does not have the certificate that its agent '
            "recorded"
        )
    assert b"".join(heard) == b""


@pytest.mark.parametrize("peer", ["", "http://127.0.0.1:1", "https://127.0.0.1:1"])
async def test_a_key_goes_nowhere_without_a_certificate_to_know_the_node_by(far: Far, peer: str) -> None:
    await say(far.site, peer=peer, fingerprint="")
    assert await refusal(far.site) == f'Node "{NODE}" is not available: it never said where its agent answers'


@pytest.mark.parametrize("query", [{}, {"follow": "true"}])
async def test_a_node_that_is_gone_is_named(far: Far, query: dict[str, str]) -> None:
    await far.life.aclose()
    said = f'Node "{NODE}" is not available: its agent cannot be reached: Connection refused'
    assert await refusal(far.site, **query) == said
    assert await refusal(far.site, f"/node/{NODE}/log", **query) == said


async def test_a_port_without_tls_is_refused(far: Far) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        await say(far.site, peer=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert (await refusal(far.site)).startswith(f'Node "{NODE}" is not available: its agent ')


async def test_a_stream_that_breaks_off_ends_with_a_sentence(far: Far) -> None:
    far.console.write_bytes(b"one\n")
    async with asyncio.timeout(LATE), far.site.client.get(far.follow()) as answer:
        assert await answer.content.readline() == b"one\n"
        await far.life.aclose()
        assert (await answer.content.read()).decode() == (
            f'\nNode "{NODE}" does not answer any more; what follows is not shown.\n'
        )


@pytest.mark.parametrize("way", ["socket", "port"])
async def test_a_client_that_hangs_up_on_a_silent_log_is_noticed(far: Far, way: str) -> None:
    """The agent's side of it is what a test can see: it ends, although nobody wrote a line."""
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await reader.read()
        gone.set()
        writer.close()

    path = str(far.site.folder / "silent.sock")
    async with await asyncio.start_unix_server(silent, path):
        await say(far.site, peer=f"unix:{path}")
        site = far.site
        client, base = (
            (site.client, "http://pvc") if way == "socket" else (site.network, f"http://127.0.0.1:{site.port}")
        )
        headers = {"X-Api-Key": TOKEN}
        async with asyncio.timeout(LATE):
            answer = await client.get(f"{base}{BASE}/vm/web1/console?follow=true", headers=headers)
            assert answer.status == 200
            answer.close()
            await gone.wait()


async def test_an_agent_lets_a_silent_follower_go_too(far: Far) -> None:
    headers = {"Authorization": f"Bearer {far.here.key}"}
    async with asyncio.timeout(LATE):
        answer = await far.site.network.get(f"{far.here.address}/log?follow=true", ssl=False, headers=headers)
        assert answer.status == 200
        while not watchers():
            await asyncio.sleep(0)
        answer.close()
        while watchers():
            await asyncio.sleep(0)


def watchers() -> int:
    """How many inotify instances this process has: each follower's own."""
    return sum(1 for fd in Path("/proc/self/fd").iterdir() if "inotify" in _target(fd))


def _target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return ""


async def test_every_start_has_a_certificate_of_its_own_and_no_old_tls() -> None:
    one, two = await certificate.make(), await certificate.make()
    assert one.fingerprint != two.fingerprint
    assert one.context.minimum_version == ssl.TLSVersion.TLSv1_3


async def test_servers_that_ask_at_once_agree_on_the_key(bare: Site) -> None:
    keys = await asyncio.gather(*(peers.key_of(bare.state.store) for _ in range(8)))
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 40


async def test_the_answer_is_the_right_one_after_the_agent_began_anew(far: Far) -> None:
    await far.life.aclose()
    async with peer.answering(door(far.site, f"127.0.0.1:{free_port()}")) as here:
        here.key = await peers.key_of(far.site.state.store)
        await say(far.site, peer=here.address, fingerprint=here.fingerprint)
        assert (await far.site.ask("GET", f"/node/{NODE}/log")).status == 200
