"""Images that the server fetches: from where it may, the whole way."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pvc.cluster import tasks
from pvc.errors import NotPermitted
from pvc.model.records import TaskStatus
from pvc.server import uploads
from pvc.server.fetching import check, is_elsewhere
from pvc.units import MIB
from tests.unit.server.site import UPLOADS, Answer, Site, opened
from tests.unit.server.test_uploads import NEW, OLD, PATH, SIZE, SUM


@dataclass
class Mirror:
    """A web server that has an image, and leads astray."""

    port: int
    asked: list[str] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "images/disk.raw") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.raw_path)
        match request.path.removeprefix("/images/"):
            case "disk.raw":
                return web.Response(body=NEW)
            case "packed":
                return web.Response(body=gzip.compress(NEW), headers={"Content-Encoding": "gzip"})
            case "hops/0":
                return web.Response(body=NEW)
            case "dumb":
                await asyncio.Event().wait()
            case "silent" | "short":
                return await self._break(request)
            case name if name.startswith("hops/"):
                return web.Response(status=302, headers={"Location": str(int(name[5:]) - 1)})
            case name if name.startswith("to/"):
                return web.Response(status=307, headers={"Location": request.query["where"]})
        return web.Response(status=404, text="no such image")

    async def _break(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(SIZE)})
        await response.prepare(request)
        await response.write(NEW[:MIB])
        self.begun.set()
        if request.path.endswith("silent"):
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.close()
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[Mirror]:
    mirror = Mirror(0)
    server = web.Application()
    server.router.add_get("/{path:.*}", mirror.answer)
    runner = web.AppRunner(server, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    mirror.port = runner.addresses[0][1]
    yield mirror
    await runner.cleanup()


@pytest.fixture
async def mirror() -> AsyncIterator[Mirror]:
    async with serving() as mirror:
        yield mirror


@pytest.fixture
async def site(tmp_path: Path, mirror: Mirror) -> AsyncIterator[Site]:
    allowed = replace(UPLOADS, fetch_from=(mirror.url("images/"),), idle_timeout_s=0.5)
    async with opened(tmp_path, uploads=allowed) as site:
        await site.pool.create("disk0", SIZE)
        site.fill("disk0", OLD)
        yield site


async def fetch(site: Site, url: str, **more: Any) -> Answer:
    return await site.ask("POST", PATH, {"image_format": "raw", "url": url} | more)


async def assert_refused(site: Site, answer: Answer, status: int, code: str, words: str = "") -> None:
    assert (answer.status, answer.code) == (status, code), answer.body
    assert words in answer.message
    assert (site.content("disk0"), site.hidden(), site.app[uploads.UNDER_WAY]) == (OLD, [], set())


@pytest.mark.parametrize("path", ["images/disk.raw", "images/hops/5", "images/to/?where=/images/disk.raw"])
async def test_an_image_is_fetched_into_a_volume(site: Site, mirror: Mirror, path: str) -> None:
    answer = await fetch(site, mirror.url(path), checksum="sha256", verify="true")
    assert (answer.status, answer.body.get("sha256")) == (200, SUM), answer.body
    assert (site.content("disk0"), site.hidden()) == (NEW, [])
    [task] = await site.tasks()
    assert (task.status, task.kind, task.done, task.total) == (TaskStatus.DONE, "upload", SIZE, SIZE)


async def test_a_fetch_that_nobody_waits_for_is_a_task_that_ends(site: Site, mirror: Mirror) -> None:
    answer = await fetch(site, mirror.url(), wait="false")
    assert answer.message == 'Fetching an image into volume "disk0" in pool "local".'
    assert (await tasks.wait(site.state, answer.body["task"], 10)).result == f"Received {SIZE} bytes."
    assert site.content("disk0") == NEW


@pytest.mark.parametrize(
    "where",
    [
        "/secret",
        "/images/../secret",
        "/images/%2e%2e/secret",
        "http://localhost:{port}/images/disk.raw",
        "http://127.0.0.1:1/images/disk.raw",
        "http://127.0.0.1.example:{port}/images/disk.raw",
        "http://127.0.0.1:{port}@evil.example/images/disk.raw",
        "https://127.0.0.1:{port}/images/disk.raw",
        "//169.254.169.254/images/disk.raw",
        "file:///etc/shadow",
        "http://%5B",
    ],
)
async def test_a_redirect_that_leads_out_is_not_followed(site: Site, mirror: Mirror, where: str) -> None:
    aim = where.replace("{port}", str(mirror.port))
    answer = await fetch(site, mirror.url(f"images/to/?where={aim}"))
    await assert_refused(site, answer, 403, "not_permitted")
    assert len(mirror.asked) == 1


@pytest.mark.parametrize("path", ["", "images", "imagesevil/a", "images/../secret", "images/%2E%2E/secret"])
async def test_what_is_not_listed_is_not_asked_for(site: Site, mirror: Mirror, path: str) -> None:
    await assert_refused(site, await fetch(site, mirror.url(path)), 403, "not_permitted", "is not below one of")
    assert (mirror.asked, await site.tasks()) == ([], [])


def test_a_server_fetches_nothing_unless_it_is_told_from_where() -> None:
    with pytest.raises(NotPermitted, match=r"This server fetches no images: its upload.fetch_from is empty\."):
        check("https://images.example/a", ())


@pytest.mark.parametrize(
    ("path", "status", "code", "words"),
    [
        ("images/absent", 503, "unavailable", "it answers 404 Not Found"),
        ("images/hops/6", 503, "unavailable", "it redirects more than 5 times"),
        ("images/packed", 503, "unavailable", "it sends something else than the file as it is"),
        ("images/dumb", 504, "timeout", 'An answer of "http://127.0.0.1:'),
        ("images/short", 503, "unavailable", ""),
        ("images/silent", 504, "timeout", "More of the upload did not happen within 0.5 s"),
    ],
)
async def test_a_fetch_that_fails_leaves_nothing(
    site: Site, mirror: Mirror, path: str, status: int, code: str, words: str
) -> None:
    await assert_refused(site, await fetch(site, mirror.url(f"{path}?key=secret")), status, code, words)
    [task] = await site.tasks()
    assert task.status is TaskStatus.FAILED
    assert "secret" not in task.problem["message"]


async def test_a_fetch_is_cancelled_as_any_upload(site: Site, mirror: Mirror) -> None:
    answer = await fetch(site, mirror.url("images/silent"), wait="false")
    await mirror.begun.wait()
    assert (await site.ask("POST", f"/tasks/{answer.body['task']}", {"action": "cancel"})).status == 200
    with pytest.raises(tasks.TaskProblem, match="was cancelled"):
        await tasks.wait(site.state, answer.body["task"], 10)
    assert (site.content("disk0"), site.hidden()) == (OLD, [])


@pytest.mark.parametrize(
    ("given", "argument"), [({"resume": "w"}, "url"), ({"image_size": "5"}, "image_size"), ({}, "url")]
)
async def test_what_concerns_a_body_does_not_go_with_an_address(
    site: Site, mirror: Mirror, given: dict[str, str], argument: str
) -> None:
    query = {"image_format": "raw", "url": mirror.url()} | given
    answer = await site.ask("POST", PATH, query, data=None if given else b"body")
    await assert_refused(site, answer, 400, "invalid_input", f'rgument "{argument}"')


async def test_only_what_is_fetched_need_not_be_waited_for(site: Site) -> None:
    answer = await site.ask("POST", PATH, {"image_format": "raw", "wait": "false"}, data=b"body")
    await assert_refused(site, answer, 400, "invalid_input", 'Argument "wait"')


@pytest.mark.parametrize("host", ["10.0.0.5", "192.168.1.1", "93.184.216.34", "2001:db8::5", "fd00::5"])
def test_a_name_may_lead_to_another_machine(host: str) -> None:
    assert is_elsewhere(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
    ],
)
def test_a_name_may_not_lead_back_or_to_the_link(host: str) -> None:
    assert not is_elsewhere(host)
