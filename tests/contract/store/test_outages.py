"""ZooKeeper stopped, killed, frozen and away: nothing is lost, nothing done twice, nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pvc.errors import Busy, Changed, SessionLost, StoreUnavailable
from pvc.store.base import Create, Entry, Put, Store, Watch
from pvc.store.clustered import ClusteredSource
from pvc.store.paths import LOCKS
from tests.contract.store.harness import clustered
from tests.parts.zookeeper import ZooKeeper

pytestmark = pytest.mark.real

COUNTER, RECORDS = "/counter", "/records"
WRITERS, EACH = 4, 60


@pytest.fixture
async def source(own_zookeeper: ZooKeeper) -> ClusteredSource:
    """Its sessions outlive a restart of the server."""
    return clustered([own_zookeeper.address], 30.0)


async def restart(server: ZooKeeper, end: Callable[[ZooKeeper], object]) -> None:
    await asyncio.to_thread(end, server)
    await asyncio.to_thread(server.start)


class Stream:
    """Every change raises the counter and creates one record; `done` is what the store acknowledged or showed."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.cut_off = 0
        self.half_way = asyncio.Event()

    async def write(self, store: Store, writer: int) -> None:
        async with store.watch(RECORDS) as watch:
            for number in range(EACH):
                await self._write_one(store, watch, f"{RECORDS}/{writer}-{number}")

    async def _write_one(self, store: Store, watch: Watch, record: str) -> None:
        while not await self._attempt(store, record):
            await watch.wait()  # rings when the connection is back
            while not await self._answers(store):
                await watch.wait()
            if (await store.get_many([record]))[0] is not None:
                break
        self.done.append(record)
        if len(self.done) > WRITERS * EACH // 2:
            self.half_way.set()

    async def _attempt(self, store: Store, record: str) -> bool:
        while True:
            try:
                counter = await store.get(COUNTER)
                raised = str(int(counter.value) + 1).encode()
                await store.commit(Put(COUNTER, raised, counter.version), Create(record))
            except Changed:
                continue
            except StoreUnavailable:
                self.cut_off += 1
                return False
            return True

    async def _answers(self, store: Store) -> bool:
        try:
            await store.get(COUNTER)
        except StoreUnavailable:
            return False
        return True


@pytest.mark.parametrize("end", [ZooKeeper.stop, ZooKeeper.kill], ids=["stopped", "killed"])
async def test_a_restart_loses_no_acknowledged_write_and_repeats_none(
    own_zookeeper: ZooKeeper, source: ClusteredSource, end: Callable[[ZooKeeper], object]
) -> None:
    sessions = [await source.session() for _ in range(WRITERS)]
    await sessions[0].commit(Create(COUNTER, b"0"), Create(RECORDS))
    stream = Stream()
    async with asyncio.TaskGroup() as tasks:
        for writer, store in enumerate(sessions):
            tasks.create_task(stream.write(store, writer))
        await stream.half_way.wait()
        await restart(own_zookeeper, end)
    assert stream.cut_off >= 1
    expected = WRITERS * EACH
    assert await sessions[0].get(COUNTER) == Entry(str(expected).encode(), expected)
    assert sorted(stream.done) == sorted(f"{RECORDS}/{name}" for name in await sessions[0].children(RECORDS))
    assert len(set(stream.done)) == len(stream.done) == expected
    assert not any(store.lost.is_set() for store in sessions)
    await source.aclose()


async def test_a_watch_misses_no_change_over_a_restart(own_zookeeper: ZooKeeper, source: ClusteredSource) -> None:
    reader, writer = await source.session(), await source.session()
    last = 60
    await writer.commit(Create(COUNTER, b""))

    async def write() -> None:
        async with writer.watch(RECORDS) as back:
            version = 0
            while version < last:
                try:
                    version = (await writer.get(COUNTER)).version
                    await writer.commit(Put(COUNTER, b"", version))
                except StoreUnavailable:
                    await back.wait()

    async with reader.watch(COUNTER) as watch, asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        seen, restarted = 0, False
        while seen < last:
            await watch.wait()
            try:
                seen = (await reader.get(COUNTER)).version
            except StoreUnavailable:
                continue
            if seen > last // 2 and not restarted:
                restarted = True
                await restart(own_zookeeper, ZooKeeper.kill)
    await source.aclose()


async def test_without_a_connection_calls_are_refused_at_once(
    own_zookeeper: ZooKeeper, source: ClusteredSource
) -> None:
    store = await source.session()
    await asyncio.to_thread(own_zookeeper.stop)
    async with asyncio.timeout(8):  # one call alone would wait 10 s for an answer
        for _ in range(50):
            with pytest.raises(StoreUnavailable) as caught:
                await store.get("/")
    assert not isinstance(caught.value, SessionLost)
    assert own_zookeeper.address in str(caught.value)
    async with asyncio.timeout(8):
        await source.aclose()


async def test_a_frozen_server_is_unavailable_in_bounded_time(own_zookeeper: ZooKeeper) -> None:
    source = clustered([own_zookeeper.address], 4.0)
    store = await source.session()
    await asyncio.to_thread(own_zookeeper.freeze)
    async with asyncio.timeout(20):
        results = await asyncio.gather(*(store.get_many(["/"] * 10) for _ in range(100)), return_exceptions=True)
        assert {isinstance(result, StoreUnavailable) for result in results} == {True}
        await store.lost.wait()
    own_zookeeper.thaw()
    fresh = await source.session()
    await fresh.commit(Create(COUNTER))
    await source.aclose()


async def test_a_frozen_server_holds_up_neither_a_call_nor_closing(
    own_zookeeper: ZooKeeper, source: ClusteredSource
) -> None:
    """With a session timeout of 30 s kazoo itself would find out after 20 s."""
    store = await source.session()
    await asyncio.to_thread(own_zookeeper.freeze)
    async with asyncio.timeout(14):
        with pytest.raises(StoreUnavailable, match="ZooKeeper did not answer within 10 s"):
            await store.get("/")
    async with asyncio.timeout(8):
        await source.aclose()
    assert store.lost.is_set()


async def test_a_server_away_for_the_session_s_timeout_ends_the_session(own_zookeeper: ZooKeeper) -> None:
    """The server cannot say so: whoever holds a lock must know that another may have it now."""
    source = clustered([own_zookeeper.address], 2.0)
    store = await source.session()
    await store.commit(Create("/alive", ephemeral=True))
    async with store.watch("/alive") as watch:
        await asyncio.to_thread(own_zookeeper.stop)
        with pytest.raises(SessionLost):
            async with asyncio.timeout(20):
                await watch.wait()
    assert store.lost.is_set()
    with pytest.raises(SessionLost, match=r"ZooKeeper was away for 2 s, the session's timeout"):
        await store.get("/alive")
    await asyncio.to_thread(own_zookeeper.start)
    fresh = await source.session()
    async with fresh.watch("/alive") as watch:
        while (await fresh.get_many(["/alive"]))[0] is not None:
            await watch.wait()
    await source.aclose()


async def test_a_lock_that_ended_while_the_server_was_away_is_free_afterwards(
    own_zookeeper: ZooKeeper, source: ClusteredSource
) -> None:
    store, other = await source.session(), await source.session()
    async with other.watch(f"{LOCKS}/vm-1", children=["/"]) as watch:
        async with store.lock("vm-1", "who ended"):
            await asyncio.to_thread(own_zookeeper.stop)
        await asyncio.to_thread(own_zookeeper.start)
        while not await taken(other, "vm-1"):
            await watch.wait()
    assert not store.lost.is_set()
    await source.aclose()


async def taken(store: Store, name: str) -> bool:
    try:
        async with store.lock(name, "who comes next"):
            return True
    except (Busy, StoreUnavailable):
        return False


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        (["127.0.0.1:1"], "no ZooKeeper server answered within 5 s (127.0.0.1:1)"),
        (["no-such-host.invalid:2181"], "no ZooKeeper server answered within 5 s (no-such-host.invalid:2181)"),
        (["127.0.0.1:x"], '"127.0.0.1:x" does not name ZooKeeper servers'),
    ],
)
async def test_a_server_that_is_not_there_is_a_clear_reason(hosts: list[str], said: str) -> None:
    source = clustered(hosts, 4.0)
    async with asyncio.timeout(15):
        with pytest.raises(StoreUnavailable) as caught:
            await source.session()
    assert said in str(caught.value)
    await source.aclose()


async def test_of_several_servers_one_that_answers_is_enough(own_zookeeper: ZooKeeper) -> None:
    source = clustered(["127.0.0.1:1", own_zookeeper.address], 10.0)
    opening: list[Awaitable[Store]] = [source.session() for _ in range(4)]
    for store in await asyncio.gather(*opening):
        await store.get("/zookeeper")
    await source.aclose()
