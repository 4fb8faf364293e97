"""Bodies that are read past aiohttp: all of them, none of what follows, and only where they stand there as they are."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Iterator

import pytest

from pvc.errors import InvalidImage
from pvc.server.intake import Intake
from pvc.server.measures import Measures
from tests.unit.server.site import Site
from tests.unit.server.test_uploads import NEW, OLD, SIZE, begin, receiving, upload


@pytest.fixture
async def site(bare: Site) -> Site:
    """One volume with old content."""
    await bare.pool.create("disk0", SIZE)
    bare.fill("disk0", OLD)
    return bare


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Where a client writes, and where a server reads."""
    written, read = socket.socketpair()
    with written, read:
        read.setblocking(False)
        yield written, read


async def test_bytes_that_come_in_drops_are_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    measures = Measures()
    intake = Intake(ends[1], b"ab", 8, measures)
    asking = asyncio.create_task(intake.exactly(8))
    for drop in (b"c", b"d", b"ef", b"gh"):
        await asyncio.sleep(0)
        ends[0].send(drop)
    assert await asking == b"abcdefgh"
    assert (await intake.ended(), measures.uploaded) == (True, 8)


async def test_what_follows_the_body_stays_on_the_connection(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].send(b"bodyGET /")
    intake = Intake(ends[1], b"", 4, Measures())
    assert await intake.up_to(100) == b"body"
    with pytest.raises(InvalidImage, match="ended before its last frame"):
        await intake.up_to(1)
    assert ends[1].recv(100) == b"GET /"


async def test_a_client_that_goes_away_is_no_end_of_a_body(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].send(b"bo")
    ends[0].close()
    intake = Intake(ends[1], b"", 4, Measures())
    assert await intake.up_to(4) == b"bo"
    with pytest.raises(ConnectionError):
        await intake.up_to(2)
    assert not await intake.ended()


async def test_a_raw_upload_ends_its_connection(site: Site) -> None:
    client = await begin(site, f"Content-Length: {SIZE}")
    client.writer.write(NEW[:1000])
    await receiving(site)
    client.writer.write(NEW[1000:])
    answer = (await client.reader.read()).decode().lower()
    assert answer.startswith("http/1.1 200 ")
    assert "connection: close" in answer
    assert site.content("disk0") == NEW
    client.writer.close()


async def test_a_body_that_http_has_packed_is_not_taken_for_the_image(site: Site) -> None:
    packed = gzip.compress(NEW)
    client = await begin(site, f"Content-Length: {len(packed)}", "Content-Encoding: gzip")
    client.writer.write(packed)
    status, told = await client.answer()
    assert (status, told["code"]) == (400, "invalid_image")
    assert site.content("disk0") == OLD
    client.writer.close()


async def test_a_raw_upload_that_is_refused_half_way_is_answered(site: Site) -> None:
    answer = await upload(site, NEW, checksum="sha256:" + "0" * 64)
    assert (answer.status, answer.code, answer.headers["Connection"]) == (400, "invalid_image", "close")
    client = await begin(site, f"Content-Length: {SIZE + 1}")
    client.writer.write(NEW[:100_000])
    status, told = await client.answer()
    assert (status, told["code"]) == (400, "image_too_large")
    assert site.hidden() == []
    client.writer.close()
