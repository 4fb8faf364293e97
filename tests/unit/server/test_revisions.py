"""Two servers on one store: who sees what, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pvc.cluster import nodes
from pvc.model.records import VM, DaemonState, Node, NodeStatus, Observed, Power, encode
from pvc.server.revision import HEADER
from pvc.server.session import SESSION
from pvc.server.vmlist import Shown
from pvc.store.access import Access
from pvc.store.base import Create, Put, Source
from pvc.store.clustered import ClusteredSource
from pvc.store.embedded import EmbeddedSource
from tests.parts import documents
from tests.parts.zookeeper import ZooKeeper
from tests.unit.server.site import NODE, Answer, Site, opened

OURS = Access("pvc", "opens-the-store")


@pytest.fixture
def zookeeper() -> Iterator[ZooKeeper]:
    with ZooKeeper() as server:
        yield server


@pytest.fixture(params=["embedded", pytest.param("zookeeper", marks=pytest.mark.real)])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    """A node is alive, and nobody runs anything there."""
    sources: list[Source]
    if request.param == "embedded":
        sources = [await EmbeddedSource.open(str(tmp_path / "pvc.db"))] * 2
    else:
        server: ZooKeeper = await asyncio.to_thread(request.getfixturevalue, "zookeeper")
        sources = [ClusteredSource([server.address], 10.0, OURS) for _ in range(2)]
    async with AsyncExitStack() as stack:
        sites = []
        for name, source in zip("ab", sources, strict=True):
            (tmp_path / name).mkdir()
            sites.append(await stack.enter_async_context(opened(tmp_path / name, source=source)))
        await nodes.join(sites[0].state, Node(name=NODE))
        yield sites[0], sites[1]


def names(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["name"] for item in answer.body]


def revision(answer: Answer) -> int:
    return int(answer.headers[HEADER])


async def define(site: Site, name: str) -> Answer:
    answer = await site.ask("POST", "/vm", json={"xml": documents.vm(name), "node": NODE})
    assert answer.status == 200, answer.body
    return answer


async def test_a_change_is_seen_through_the_other_server_by_who_names_its_revision(pair: tuple[Site, Site]) -> None:
    here, there = pair
    for number in range(20):
        told = await define(here, f"vm{number:02}")
        naming = {HEADER: told.headers[HEADER]}
        answer = await there.ask("GET", "/vm", headers=naming)
        assert names(answer) == [f"vm{one:02}" for one in range(number + 1)]
        assert revision(answer) >= revision(told)
        assert (await there.ask("GET", f"/vm/vm{number:02}", headers=naming)).status == 200
        here, there = there, here


async def test_a_change_is_seen_through_the_same_server_without_more(pair: tuple[Site, Site]) -> None:
    site, _other = pair
    for number in range(20):
        told = await define(site, f"vm{number:02}")
        answer = await site.ask("GET", "/vm")
        assert len(names(answer)) == number + 1
        assert revision(answer) >= revision(told)
    await site.ask("POST", "/network", {"vni": 7, "description": "lan", "nettype": "bridged"})
    assert [item["vni"] for item in (await site.ask("GET", "/network")).body] == [7]
    assert (await site.ask("POST", "/vm/vm03/rename", {"new_name": "other"})).status == 200
    assert "vm03" not in names(await site.ask("GET", "/vm"))


async def test_a_change_reaches_the_other_server_by_itself(pair: tuple[Site, Site]) -> None:
    here, there = pair
    await define(here, "web1")
    async with asyncio.timeout(20):
        while not names(await there.ask("GET", "/vm")):
            pass


async def test_a_revision_that_never_was_is_refused_at_once(pair: tuple[Site, Site]) -> None:
    site, _other = pair
    now = revision(await site.ask("GET", "/vm"))
    async with asyncio.timeout(5):
        answer = await site.ask("GET", "/vm", headers={HEADER: str(now + 10**9)})
    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert f"has not come to {now + 10**9}" in answer.message
    for nonsense in ("x", "-1", "1.5", "9" * 19):
        answer = await site.ask("GET", "/vm", headers={HEADER: nonsense})
        assert (answer.status, list(answer.fields)) == (400, [HEADER])


async def test_nodes_and_what_they_see_are_as_new_as_the_list(pair: tuple[Site, Site]) -> None:
    here, there = pair
    uuid = (await define(here, "web1")).body["uuid"]
    seen = {uuid: Observed(power=Power.RUNNING)}
    await nodes.publish(here.state, NODE, NodeStatus(daemon=DaemonState.RUN, cpu_count=4, vms=seen))
    naming = {HEADER: str(here.state.store.revision)}
    assert (await there.ask("GET", "/vm", headers=naming)).body[0]["power"] == "running"
    [node] = (await there.ask("GET", "/node", headers=naming)).body
    assert (node["daemon_state"], node["cpu_count"], node["running_domains"]) == ("run", 4, ["web1"])
    seen = {uuid: Observed(power=Power.OFF)}
    await nodes.publish(here.state, NODE, NodeStatus(daemon=DaemonState.RUN, vms=seen))
    naming = {HEADER: str(here.state.store.revision)}
    assert (await there.ask("GET", "/vm", headers=naming)).body[0]["power"] == "off"
    await here.state.store.aclose()
    async with asyncio.timeout(20):
        while (await there.ask("GET", "/node")).body[0]["daemon_state"] != "dead":
            pass


async def test_a_record_that_cannot_be_read_is_listed_until_it_can_be(pair: tuple[Site, Site]) -> None:
    here, there = pair
    await define(here, "web1")
    vm = VM(uuid="9f6b2d4e-0000-4000-8000-000000000001", name="db1", xml=documents.vm("db1"), node=NODE)
    path = here.state.paths.vm(vm.uuid)
    await here.state.store.commit(Create(path, b"{torn"))
    naming = {HEADER: str(here.state.store.revision)}
    [broken, whole] = (await there.ask("GET", "/vm", headers=naming)).body
    assert (broken["name"], broken["state"], whole["name"]) == (vm.uuid, "fail", "web1")
    assert "cannot be read" in broken["failed_reason"]
    await here.state.store.commit(Put(path, encode(vm), 0))
    naming = {HEADER: str(here.state.store.revision)}
    assert names(await there.ask("GET", "/vm", headers=naming)) == ["db1", "web1"]


async def test_a_lost_session_s_mirror_is_not_served_and_the_next_is_complete(pair: tuple[Site, Site]) -> None:
    here, there = pair
    await define(here, "web1")
    for number in range(3):
        await there.app[SESSION].state.store.aclose()
        told = await define(here, f"vm{number}")
        async with asyncio.timeout(20):
            while (answer := await there.ask("GET", "/vm", headers={HEADER: told.headers[HEADER]})).status != 200:
                assert answer.status == 503
        assert len(names(answer)) == number + 2


async def test_a_vm_is_encoded_again_only_when_it_changed(pair: tuple[Site, Site]) -> None:
    site, _other = pair
    for name in ("web1", "web2"):
        await define(site, name)
    assert len(names(await site.ask("GET", "/vm"))) == 2
    seen = await shown(site)
    await site.ask("POST", "/vm/web1/tags", {"action": "add", "tag": "blue"})
    assert len(names(await site.ask("GET", "/vm", {"tag": "blue"}))) == 1
    again = await shown(site)
    assert list(again) == ["web1", "web2"]
    assert again["web2"] is seen["web2"]
    assert again["web1"].tags == {"blue"}
    await site.ask("POST", "/network", {"vni": 7, "description": "lan", "nettype": "bridged"})
    await site.ask("GET", "/vm")
    assert (await shown(site))["web2"] is not seen["web2"]


async def shown(site: Site) -> dict[str, Shown]:
    return {one.name: one for one in await site.app[SESSION].vm_list.shown()}


@pytest.mark.real
async def test_a_list_is_refused_while_zookeeper_is_away_and_whole_when_it_is_back(
    zookeeper: ZooKeeper, tmp_path: Path
) -> None:
    async with opened(tmp_path, source=ClusteredSource([zookeeper.address], 30.0, OURS)) as site:
        await nodes.join(site.state, Node(name=NODE))
        await define(site, "web1")
        store = site.app[SESSION].state.store
        async with store.watch("/") as watch:
            await asyncio.to_thread(zookeeper.stop)
            await watch_broken(site)
            answer = await site.ask("GET", "/vm")
            assert (answer.status, answer.code) == (503, "store_unavailable")
            assert zookeeper.address in answer.message
            await asyncio.to_thread(zookeeper.start)
            await watch.wait()
        async with asyncio.timeout(20):
            while (answer := await site.ask("GET", "/vm")).status != 200:
                assert answer.status == 503
        assert names(answer) == ["web1"]
        assert not store.lost.is_set()


async def watch_broken(site: Site) -> None:
    async with asyncio.timeout(10):
        while (await site.ask("GET", "/tasks")).status == 200:
            pass
