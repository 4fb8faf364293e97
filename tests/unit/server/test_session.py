"""What goes on over time: the store's session, tasks that are watched, consoles, lists."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from pvc.agent import peer
from pvc.cluster import tasks
from pvc.cluster.state import State
from pvc.errors import NotPermitted
from pvc.model.records import Task
from pvc.server.session import SESSION, Session
from pvc.store.base import Source, Store
from pvc.store.embedded import EmbeddedSource
from tests.parts import documents
from tests.unit.server.site import NODE, Site, door


async def test_a_lost_session_is_opened_again_and_meanwhile_it_is_said(bare: Site) -> None:
    await bare.app[SESSION].state.store.aclose()
    answer = await bare.ask("GET", "/vm")
    statuses = {answer.status}
    async with asyncio.timeout(10):
        while answer.status != 200:
            assert (answer.status, answer.body["code"]) in ((503, "store_unavailable"), (503, "session_lost"))
            answer = await bare.ask("GET", "/vm")
            statuses.add(answer.status)
    assert statuses <= {200, 503}


class Guarded:
    """A source whose sessions are refused as often as is said."""

    def __init__(self, source: Source, refusals: int) -> None:
        self._source = source
        self.refusals = refusals

    async def session(self) -> Store:
        if self.refusals:
            self.refusals -= 1
            raise NotPermitted(problem="Somebody else has it")
        return await self._source.session()

    async def aclose(self) -> None:
        await self._source.aclose()


async def test_a_store_that_is_refused_from_the_start_ends_the_start(tmp_path: Path) -> None:
    source = Guarded(await EmbeddedSource.open(str(tmp_path / "pvc.db")), refusals=1)
    with pytest.raises(NotPermitted):
        await Session(source).keep(lambda _state: None)
    await source.aclose()


async def test_a_store_that_is_refused_later_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pvc.server.session._RETRY_S", 0.0)
    source = Guarded(await EmbeddedSource.open(str(tmp_path / "pvc.db")), refusals=0)
    opened: asyncio.Queue[State] = asyncio.Queue()
    session = Session(source)
    keeping = asyncio.create_task(session.keep(opened.put_nowait))
    first = await opened.get()
    source.refusals = 2
    await first.store.aclose()
    assert await opened.get() is session.state
    keeping.cancel()
    await asyncio.wait([keeping])
    await source.aclose()


async def a_task(site: Site) -> Task:
    task = Task(id="t1", kind="upload", target=("volume", "local/disk0"), name="disk0", node=NODE)
    await site.state.store.commit(tasks.creation(site.state, task))
    return task


async def test_a_task_is_told_as_soon_as_it_changes(bare: Site) -> None:
    task = await a_task(bare)
    waiting = asyncio.create_task(bare.ask("GET", "/tasks/t1", {"after": 0, "wait": 30}))
    while not waiting.done():
        held = await bare.state.task("t1")
        await bare.state.store.commit(tasks.writing(bare.state, held, replace(task, done=held.version + 1)))
    body = (await waiting).body
    assert body["version"] >= 1
    assert body["done"] == body["version"]
    assert body["target"] == "volume/local/disk0"


async def test_a_task_without_news_is_told_when_the_time_is_over(bare: Site) -> None:
    await a_task(bare)
    answer = await bare.ask("GET", "/tasks/t1", {"after": 0, "wait": 0.01})
    assert (answer.status, answer.body["version"]) == (200, 0)


async def test_tasks_are_chosen_by_kind_target_and_status(bare: Site) -> None:
    await a_task(bare)
    for query, count in (
        ({}, 1),
        ({"kind": "upload", "target": "volume/local/disk0", "status": "running"}, 1),
        ({"kind": "attach"}, 0),
        ({"target": "volume/local/disk"}, 0),
        ({"status": "done"}, 0),
    ):
        assert len((await bare.ask("GET", "/tasks", query)).body) == count


async def test_a_console_is_fetched_from_its_node(site: Site) -> None:
    uuid = await site.define()
    consoles = site.folder / "consoles"
    log: Path = consoles / f"{uuid}.log"
    async with peer.answering(door(site)):
        assert (await site.ask("GET", "/vm/web1/console")).body == {"name": "web1", "data": ""}
        log.write_bytes(b"one\ntwo\n\xff three\n")
        assert (await site.ask("GET", "/vm/web1/console", {"lines": 2})).body["data"] == "two\n\ufffd three\n"
        assert (await site.ask("GET", "/vm/web1/console", {"lines": 0})).body["data"] == ""
        url = f"http://pvc/api/v1/vm/{uuid}/console?follow=true&lines=1"
        async with asyncio.timeout(10), site.client.get(url) as answer:
            assert await answer.content.readline() == b"\xff three\n"
            with log.open("ab") as file:
                file.write(b"four\n")
            assert await answer.content.readline() == b"four\n"
    answer_without = await site.ask("GET", "/vm/web1/console")
    assert (answer_without.status, answer_without.code) == (503, "node_unavailable")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["db1", "web1", "web2"]),
        ({"limit": "web"}, ["web1", "web2"]),
        ({"limit": "^eb"}, []),
        ({"limit": "1$"}, ["db1", "web1"]),
        ({"tag": "prod"}, ["web1"]),
        ({"tag": "prod", "negate": "yes"}, ["db1", "web2"]),
        ({"state": "stop", "limit": "db"}, ["db1"]),
        ({"state": "start"}, []),
        ({"node": NODE, "tag": "prod", "limit": "web"}, ["web1"]),
        ({"node": NODE, "negate": "true"}, []),
    ],
)
async def test_vms_are_chosen_by_filters_that_all_count(site: Site, query: dict[str, str], found: list[str]) -> None:
    for name in ("web2", "db1"):
        await site.define(name)
    given = {"xml": documents.vm("web1"), "user_tags": ["prod", "blue"]}
    uuid = (await site.ask("POST", "/vm", json=given)).body["uuid"]
    assert [item["name"] for item in (await site.ask("GET", "/vm", query)).body] == found
    assert [item["name"] for item in (await site.ask("GET", "/vm", {"limit": uuid})).body] == ["web1"]


async def test_a_dry_run_shows_the_difference_and_changes_nothing(site: Site) -> None:
    await site.define()
    before = await site.everything()
    xml = (await site.ask("GET", "/vm/web1")).body[0]["xml"]
    answer = await site.ask("PUT", "/vm/web1", json={"xml": xml.replace(">64<", ">65<"), "dry_run": True})
    assert '-  <memory unit="MiB">64</memory>' in answer.body["diff"].splitlines()
    assert await site.everything() == before
    answer = await site.ask("PUT", "/vm/web1", json={"xml": xml})
    assert (answer.message, answer.body["diff"]) == ('VM "web1" is like this already.', "")
    renamed = await site.ask("PUT", "/vm/web1", json={"xml": xml.replace(">web1<", ">web2<")})
    assert (renamed.status, list(renamed.fields)) == (400, ["xml"])
    assert await site.everything() == before
