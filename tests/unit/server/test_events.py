"""Events over HTTP: streams, what they begin and end with, and who may not go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from pvc.cluster import tasks, tokens
from pvc.model.records import Role, Task
from pvc.server import events
from pvc.server.parse import DOCUMENT
from pvc.server.session import SESSION
from tests.unit.server.site import BASE, TOKENS, Site


@dataclass(frozen=True)
class Event:
    """data: None of a block that only says where the reader is."""

    name: str
    id: str
    data: Any

    @property
    def line(self) -> str:
        return f"{self.name} {self.data['name']} {self.data['change']}"


class Stream:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.comments = 0

    async def block(self) -> Event | None:
        """None at the end."""
        fields = {"event": "", "id": "", "data": "null"}
        while line := (await self.answer.content.readline()).decode():
            if line == "\n":
                return Event(fields["event"], fields["id"], json.loads(fields["data"]))
            name, _, value = line.rstrip("\n").partition(": ")
            self.comments += line.startswith(":")
            fields[name] = value
        return None

    async def next(self) -> Event:
        while (found := await self.block()) is not None:
            if found.name:
                return found
        raise AssertionError("The stream is over.")


@asynccontextmanager
async def following(site: Site, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    url = f"http://pvc{BASE}/events?follow=true&{query}"
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with asyncio.timeout(20), site.client.get(url, headers=names) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield Stream(answer)


async def network(site: Site, vni: int) -> None:
    more = {"vni": vni, "description": f"n{vni}", "nettype": "bridged"}
    assert (await site.ask("POST", "/network", more)).status == 200


async def test_a_vm_is_followed_from_its_definition_to_its_end(site: Site) -> None:
    async with following(site, "kind=vm") as stream:
        await stream.block()
        await site.running("web1")
        assert (await stream.next()).line == "vm web1 created"
        powers = []
        while "running" not in powers:
            powers.append((await stream.next()).data["now"]["power"])
        await site.ask("POST", "/vm/web1/state", {"state": "stop", "wait": "true"})
        while powers[-1] != "off":
            powers.append((await stream.next()).data["now"]["power"])
        await site.ask("DELETE", "/vm/web1")
        while (event := await stream.next()).data["change"] != "deleted":
            pass
        assert event.data["name"] == "web1"


async def test_kinds_and_names_are_chosen(bare: Site) -> None:
    async with following(bare, "kind=network&kind=task&name=n2&name=3") as stream:
        await stream.block()
        for vni in (1, 2, 3):
            await network(bare, vni)
        assert [(await stream.next()).line for _ in range(2)] == ["network n2 created", "network n3 created"]


async def test_a_reader_goes_on_after_the_last_event_that_it_had(bare: Site) -> None:
    async with following(bare) as stream:
        begun = await stream.block()
        await network(bare, 1)
        first = await stream.next()
    await network(bare, 2)
    assert begun is not None
    for last, expected in ((begun.id, ["n1", "n2"]), (first.id, ["n2"])):
        async with following(bare, Last_Event_ID=last) as stream:
            assert await stream.block() == Event("", "", None)  # who is cut off here goes on from where it was
            assert [(await stream.next()).data["name"] for _ in expected] == expected
    shown = await bare.ask("GET", "/events", {"after": first.id})
    assert [one["name"] for one in shown.body] == ["n2"]


async def test_a_list_s_revision_is_a_place_to_go_on_from(bare: Site) -> None:
    await network(bare, 1)
    revision = (await bare.ask("GET", "/network")).headers["X-PVC-Revision"]
    await network(bare, 2)
    async with following(bare, f"after={revision}") as stream:
        assert (await stream.next()).data["name"] == "n2"


async def test_without_following_what_happened_is_a_list(bare: Site) -> None:
    for vni in (1, 2):
        await network(bare, vni)
    answer = await bare.ask("GET", "/events", {"kind": "network", "name": "n2"})
    assert [(one["name"], one["change"]) for one in answer.body] == [("n2", "created")]
    async with bare.client.head(f"http://pvc{BASE}/events?follow=true") as head:
        assert head.status == 200


async def test_who_asks_for_what_is_not_known_any_more_is_told_to_read_again(bare: Site) -> None:
    answer = await bare.ask("GET", "/events", {"after": "0"})
    assert (answer.status, answer.code) == (410, "too_old")
    async with following(bare, "after=0") as stream:
        event = await stream.next()
        assert (event.name, event.data["code"]) == ("reload", "too_old")
        await network(bare, 1)
        assert (await stream.next()).line == "network n1 created"


async def test_a_reader_that_falls_behind_is_told_so_and_goes_on(bare: Site) -> None:
    bare.app[SESSION].feed.kept = 3
    made = [Task(id=f"t{number}", kind="upload", target=("volume", "local/a"), name="a") for number in range(8)]
    async with following(bare) as stream:
        await stream.block()
        await bare.state.store.commit(*(tasks.creation(bare.state, task) for task in made))
        event = await stream.next()
        assert (event.name, "More than 3 events happened" in event.data["message"]) == ("reload", True)
        await network(bare, 1)
        assert (await stream.next()).line == "network n1 created"


async def test_silence_is_broken_by_comments_which_say_where_the_reader_is(
    bare: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_BEAT_S", 0.01)
    async with following(bare, "kind=node") as stream:
        await network(bare, 1)
        while not stream.comments or (block := await stream.block()) is None or not block.id:
            await stream.block()
        feed = bare.app[SESSION].feed
        while block.id != feed.id:
            block = await stream.block() or block


async def test_readers_are_told_of_a_restore_and_go_on_in_what_it_made(bare: Site) -> None:
    """Nothing of before is told as if it had happened now; who comes back with an older place is told the same."""
    async with following(bare) as stream:
        await stream.block()
        await network(bare, 1)
        before = await stream.next()
        saved = (await bare.ask("GET", "/backup")).body
        params = {"yes-i-really-mean-it": "yes", "force": "true"}
        headers = {"Content-Type": DOCUMENT}
        answer = await bare.ask("POST", "/restore", params, data=json.dumps(saved), headers=headers)
        assert answer.status == 200, answer.body
        event = await stream.next()
        while event.name == "task":  # of the restore, while it went on
            event = await stream.next()
        assert (event.name, event.data["code"]) == ("reload", "too_old")
        await network(bare, 2)
        assert (await stream.next()).line == "network n2 created"
    async with following(bare, f"after={before.id}") as stream:
        assert (await stream.next()).name == "reload"


async def test_readers_are_told_of_the_end_of_the_server(bare: Site) -> None:
    async with following(bare) as stream:
        await stream.block()
        await events.end_all(bare.app)
        event = await stream.next()
        assert (event.name, event.data["message"]) == ("end", "This server is not available: it is being stopped")
        assert await stream.block() is None


async def test_a_reader_that_hangs_up_is_forgotten(bare: Site) -> None:
    async with following(bare) as stream:
        await stream.block()
        [reading] = bare.app[events.READERS]
        stream.answer.close()
        async with asyncio.timeout(10):
            await asyncio.wait([reading])
    assert bare.app[events.READERS] == set()


async def test_a_reader_whose_token_is_revoked_hears_no_more(bare: Site) -> None:
    url = f"http://127.0.0.1:{bare.port}{BASE}/events?follow=true"
    async with asyncio.timeout(20), bare.network.get(url, headers={"X-Api-Key": TOKENS[Role.READ]}) as answer:
        stream = Stream(answer)
        await stream.block()
        await network(bare, 1)
        assert (await stream.next()).line == "network n1 created"
        await tokens.remove(bare.state, "read")
        vni, event = 1, Event("network", "", None)
        while event.name != "end":
            vni += 1
            await network(bare, vni)
            event = await stream.next()
        assert event.data["code"] == "unauthenticated"


async def test_more_readers_than_can_be_served_are_refused(bare: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST_READERS", 1)
    async with following(bare) as stream:
        await stream.block()
        answer = await bare.ask("GET", "/events", {"follow": "true"})
        assert (answer.status, answer.code) == (409, "busy")


async def test_a_reader_that_takes_nothing_is_cut_off(bare: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of a megabyte is more than sockets hold."""
    monkeypatch.setattr(events, "_PATIENCE_S", 0.05)
    reader, writer = await asyncio.open_unix_connection(bare.socket, limit=1024)
    writer.write(f"GET {BASE}/events?follow=true HTTP/1.1\r\nHost: pvc\r\n\r\n".encode())
    await reader.readline()
    [reading] = bare.app[events.READERS]
    task = Task(id="t1", kind="upload", target=("volume", "local/a"), name="a", result="x" * 900_000)
    await bare.state.store.commit(tasks.creation(bare.state, task))
    async with asyncio.timeout(10):
        await asyncio.wait([reading])
    assert bare.app[events.READERS] == set()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
