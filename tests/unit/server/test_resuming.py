"""Uploads whose connection breaks: gone on with from where they stopped, or dropped without a trace."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from pvc.cluster import tasks
from pvc.images.receive import Received
from pvc.model.records import Task, TaskStatus
from pvc.server import uploads
from pvc.server.receptions import RECEPTIONS, Leg, Reception
from pvc.units import MIB
from tests.parts.sparse import frame, framed
from tests.unit.server.site import BASE, TOKEN, UPLOADS, Answer, Site, opened
from tests.unit.server.test_uploads import NEW, OLD, PATH, SIZE, SPARSE, SUM, Client, hashed, qcow2

WHOLE, WORD = hashed(NEW), {"resume": "w"}


@pytest.fixture
async def site(bare: Site) -> Site:
    await bare.pool.create("disk0", SIZE)
    bare.fill("disk0", OLD)
    return bare


async def begin(
    site: Site, sent: bytes, length: int = SIZE, kind: str = "application/octet-stream", more: str = ""
) -> Client:
    client = Client(*await asyncio.open_unix_connection(site.socket))
    query = f"image_format=raw&resume=w&checksum={WHOLE}{more}"
    lines = [f"POST {BASE}{PATH}?{query} HTTP/1.1", "Host: pvc", f"Content-Type: {kind}", f"Content-Length: {length}"]
    client.writer.write("\r\n".join([*lines, "", ""]).encode() + sent)
    await client.writer.drain()
    return client


async def seen(site: Site, phase: str, done: int) -> Task:
    """The one upload's task, once it is that far."""
    async with asyncio.timeout(10), site.state.store.watch(children=[site.state.paths.tasks]) as listing:
        while not (found := [task for task in await site.tasks() if task.status is TaskStatus.RUNNING]):
            await listing.wait()
    async with asyncio.timeout(10), site.state.store.watch(site.state.paths.task(found[0].id)) as watch:
        while ((task := (await site.state.task(found[0].id)).record).phase, task.done) != (phase, done):
            await watch.wait()
    return task


async def broken(site: Site, sent: int = MIB) -> Task:
    """An upload of which as much has come before its connection broke."""
    client = await begin(site, NEW[:sent])
    await seen(site, "receiving", sent)
    client.writer.transport.abort()
    return await seen(site, "interrupted", sent)


async def go_on(site: Site, body: bytes, offset: int | str, kind: str = "application/octet-stream") -> Answer:
    headers = {"Content-Type": kind, "Upload-Offset": str(offset)}
    return await site.ask("PATCH", PATH, WORD, data=io.BytesIO(body), headers=headers)


async def assert_whole(site: Site, answer: Answer, task: Task) -> None:
    assert (answer.status, answer.body["task"]) == (200, task.id), answer.body
    assert answer.message == 'Wrote uploaded file to volume "disk0" in pool "local".'
    assert (answer.body["bytes"], answer.body["sha256"]) == (SIZE, SUM)
    assert (site.content("disk0"), site.hidden()) == (NEW, [])
    assert [task.status for task in await site.tasks()] == [TaskStatus.DONE]
    assert await is_free(site)


async def is_free(site: Site) -> bool:
    async with site.state.store.lock("volume.local.disk0", "a test"):
        return not site.app[uploads.UNDER_WAY] and not site.app[RECEPTIONS]


@pytest.mark.parametrize("sent", [1, 4095, MIB, SIZE - 1])
async def test_an_upload_goes_on_where_it_broke_and_its_sum_with_it(site: Site, sent: int) -> None:
    task = await broken(site, sent)
    for method in ("GET", "HEAD"):
        told = await site.ask(method, PATH, WORD)
        assert (told.status, told.headers["Upload-Offset"], told.headers["Upload-Length"]) == (
            200,
            str(sent),
            str(SIZE),
        )
    await assert_whole(site, await go_on(site, NEW[sent:], sent), task)


async def test_an_upload_may_break_again_and_again(site: Site) -> None:
    task = await broken(site, 1)
    for sent in (5, MIB):
        answer = await go_on(site, NEW[1 if sent == 5 else 5 : sent], 1 if sent == 5 else 5)
        assert (answer.status, answer.body["offset"]) == (200, sent)
        assert answer.message == f'Received {sent} of {SIZE} bytes for volume "local/disk0".'
    await assert_whole(site, await go_on(site, NEW[MIB:], MIB), task)


async def test_what_breaks_within_a_frame_goes_on_within_it(site: Site) -> None:
    client = await begin(site, frame(0, NEW)[: 16 + MIB + 5], SIZE + 32, SPARSE, f"&image_size={SIZE}")
    await seen(site, "receiving", MIB + 5)
    client.writer.transport.abort()
    task = await seen(site, "interrupted", MIB + 5)
    rest = framed(SIZE, [(MIB + 5, NEW[MIB + 5 :])])
    await assert_whole(site, await go_on(site, rest, MIB + 5, SPARSE), task)


async def test_a_hole_that_was_taken_in_is_not_sent_again(site: Site) -> None:
    image = bytes(MIB) + NEW[MIB:]
    query = f"&image_size={SIZE}"
    client = await begin(site, frame(MIB, NEW[MIB:])[:16], SIZE, SPARSE, query)
    await seen(site, "receiving", MIB)
    client.writer.transport.abort()
    await seen(site, "interrupted", MIB)
    answer = await go_on(site, framed(SIZE, [(MIB, NEW[MIB:])]), MIB, SPARSE)
    assert (answer.status, answer.code) == (400, "invalid_image")  # the sum announced is that of another image
    assert hashed(image).removeprefix("sha256:") in answer.message


@pytest.mark.parametrize("offset", [0, MIB - 1, MIB + 1, SIZE])
async def test_a_wrong_offset_is_refused_with_the_right_one(site: Site, offset: int) -> None:
    task = await broken(site)
    answer = await go_on(site, NEW[offset:], offset)
    assert (answer.status, answer.code, answer.fields["offset"]) == (409, "conflict", MIB)
    assert answer.headers["Upload-Offset"] == str(MIB)
    assert answer.message == f'Upload "local/disk0" goes on at byte {MIB}, not at {offset}.'
    await assert_whole(site, await go_on(site, NEW[MIB:], MIB), task)


@pytest.mark.parametrize("offset", ["", "-1", "1.0", "0x10", "1" * 19, "one"])
async def test_an_offset_that_is_none_is_refused(site: Site, offset: str) -> None:
    await broken(site)
    answer = await go_on(site, NEW[MIB:], offset)
    assert (answer.status, answer.code) == (400, "invalid_input")


async def test_more_than_was_announced_ends_the_upload(site: Site) -> None:
    await broken(site)
    answer = await go_on(site, NEW[MIB:] + b"x", MIB)
    assert (answer.status, answer.code) == (400, "invalid_image")
    assert (site.content("disk0"), site.hidden(), await is_free(site)) == (OLD, [], True)


async def test_a_connection_that_is_dead_unnoticed_is_hung_up_by_the_next(site: Site) -> None:
    client = await begin(site, NEW[:MIB])
    task = await seen(site, "receiving", MIB)
    await assert_whole(site, await go_on(site, NEW[MIB:], MIB), task)
    assert await client.reader.read() == b""
    client.writer.close()


async def test_an_answer_that_was_missed_is_asked_for_with_nothing_to_send(site: Site) -> None:
    reception = Reception(("root", "w"), "t", "local/disk0", 4, 10, lambda _: web.Response())
    put_in_place = asyncio.Event()

    async def work() -> Received:
        sizes = [len(chunk) async for chunk in reception.chunks(lambda *_: None)]
        await put_in_place.wait()
        return Received("raw", sum(sizes), 4, "")

    async def body(data: bytes) -> AsyncIterator[bytes]:
        if data:
            yield data

    first, second = (Leg(body(data), lambda: None) for data in (b"data", b""))
    reception.begin(site.app, first, work)
    await first.over.wait()
    await reception.go_on(second, 4)
    put_in_place.set()
    assert await reception.outcome(second) == await reception.outcome(first) == Received("raw", 4, 4, "")


async def test_a_broken_upload_that_nobody_goes_on_with_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, uploads=replace(UPLOADS, resume_s=0.05)) as site:
        await site.pool.create("disk0", SIZE)
        site.fill("disk0", OLD)
        client = await begin(site, NEW[:MIB])
        task = await seen(site, "receiving", MIB)
        client.writer.transport.abort()
        with pytest.raises(tasks.TaskProblem, match=f"went away after {MIB} bytes, and did not go on within 0.05 s"):
            await tasks.wait(site.state, task.id, 10)
        assert (await site.ask("GET", PATH, WORD)).status == 404
        assert (site.content("disk0"), site.hidden(), await is_free(site)) == (OLD, [], True)


async def test_a_broken_upload_is_cancelled_as_any(site: Site) -> None:
    task = await broken(site)
    assert (await site.ask("POST", f"/tasks/{task.id}", {"action": "cancel"})).status == 200
    with pytest.raises(tasks.TaskProblem, match="was cancelled"):
        await tasks.wait(site.state, task.id, 10)
    assert (site.content("disk0"), site.hidden()) == (OLD, [])


async def test_an_upload_from_the_beginning_takes_the_place_of_a_broken_one(site: Site) -> None:
    first = await broken(site)
    answer = await site.ask("POST", PATH, {"image_format": "raw"}, data=io.BytesIO(NEW))
    assert answer.status == 200
    assert (site.content("disk0"), site.hidden()) == (NEW, [])
    ended = (await site.state.task(first.id)).record
    assert ended.status is TaskStatus.CANCELLED
    assert ended.problem["message"].endswith(": another one took its place.")


async def test_a_broken_upload_holds_its_volume_and_counts_as_one(site: Site) -> None:
    task = await broken(site)
    assert len(site.app[uploads.UNDER_WAY]) == 1
    answer = await site.ask("DELETE", "/storage/ceph/volume/local/disk0")
    assert (answer.status, answer.code) == (409, "busy")
    assert task.id in answer.message


async def test_somebody_elses_upload_is_neither_told_nor_gone_on_with_nor_ended(site: Site) -> None:
    task = await broken(site)
    url, headers = f"http://127.0.0.1:{site.port}{BASE}{PATH}", {"X-Api-Key": TOKEN, "Upload-Offset": str(MIB)}
    for method, status in (("GET", 404), ("PATCH", 404), ("POST", 409)):
        params, data = {"image_format": "raw"} if method == "POST" else WORD, None if method == "GET" else b"x"
        async with site.network.request(method, url, params=params, data=data, headers=headers) as answer:
            assert answer.status == status
    await assert_whole(site, await go_on(site, NEW[MIB:], MIB), task)


async def test_another_upload_of_the_same_user_is_not_gone_on_with(site: Site) -> None:
    task = await broken(site)
    for method in ("GET", "PATCH"):
        answer = await site.ask(method, PATH, {"resume": "other"}, headers={"Upload-Offset": str(MIB)})
        assert (answer.status, answer.message) == (404, 'No such upload to volume "local/disk0".')
    await assert_whole(site, await go_on(site, NEW[MIB:], MIB), task)


async def test_an_image_that_is_refused_is_not_waited_for(site: Site) -> None:
    query = {"image_format": "qcow2", "resume": "w"}
    answer = await site.ask("POST", PATH, query, data=io.BytesIO(qcow2(backing=0x200)))
    assert (answer.status, answer.code) == (400, "invalid_image")
    assert await is_free(site)


async def test_an_upload_of_unknown_length_cannot_be_gone_on_with(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    answer = await site.ask("POST", PATH, {"image_format": "raw", "resume": "w"}, data=endless())
    assert (answer.status, answer.code) == (400, "invalid_input")
    assert "needs the image's length" in answer.message


async def test_a_server_that_ends_drops_what_it_had(tmp_path: Path) -> None:
    async with opened(tmp_path) as site:
        await site.pool.create("disk0", SIZE)
        site.fill("disk0", OLD)
        await broken(site)
    async with opened(tmp_path) as site:
        assert (await site.ask("GET", PATH, WORD)).status == 404
        assert (site.content("disk0"), site.hidden(), await is_free(site)) == (OLD, [], True)
