"""Watches: a bell for every change, missing none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from pvc.errors import SessionLost
from pvc.store.base import Create, Delete, Put, Store, Watch
from tests.contract.store.harness import Harness


async def quiet(watch: Watch, store: Store) -> bool:
    """Whether the bell stays silent while the store does other things; what is under way has arrived by then."""
    waiting = asyncio.ensure_future(watch.wait())
    for _ in range(10):
        await store.get_many(["/"])
    silent = not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    return silent


async def test_it_rings_when_a_record_is_created_changed_and_deleted(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    async with store.watch(f"{root}/a") as watch:
        await other.commit(Create(f"{root}/a"))
        await watch.wait()
        await other.commit(Put(f"{root}/a", b"x", 0))
        await watch.wait()
        await other.commit(Delete(f"{root}/a", 1))
        await watch.wait()
        await other.commit(Create(f"{root}/a"))
        await watch.wait()


async def test_it_rings_for_changes_of_its_own_session(store: Store, root: str) -> None:
    async with store.watch(f"{root}/a") as watch:
        await store.commit(Create(f"{root}/a"))
        await watch.wait()


async def test_it_rings_for_children_and_their_parents_coming_and_going(
    harness: Harness, store: Store, root: str
) -> None:
    other = await harness.session()
    async with store.watch(children=[f"{root}/folder"]) as watch:
        await other.commit(Create(f"{root}/folder"))
        await watch.wait()
        await other.commit(Create(f"{root}/folder/a"))
        await watch.wait()
        await other.commit(Delete(f"{root}/folder/a", 0))
        await watch.wait()
        await other.commit(Delete(f"{root}/folder", 0))
        await watch.wait()
        await other.ensure(f"{root}/folder/a")
        await watch.wait()


async def test_it_is_silent_about_everything_else(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    await other.commit(Create(f"{root}/a"), Create(f"{root}/folder"), Create(f"{root}/folder/b"))
    async with store.watch(f"{root}/a", children=[f"{root}/folder"]) as watch:
        await other.commit(Create(f"{root}/c"), Put(f"{root}/folder/b", b"x", 0), Create(f"{root}/folder/b/d"))
        assert await quiet(watch, store)
        await other.commit(Put(f"{root}/a", b"x", 0))
        await watch.wait()


async def test_a_change_that_failed_does_not_ring(store: Store, root: str) -> None:
    async with store.watch(f"{root}/a") as watch:
        with pytest.raises(Exception, match="No record"):
            await store.commit(Create(f"{root}/a"), Delete(f"{root}/none", 0))
        assert await quiet(watch, store)


async def test_a_change_between_two_waits_is_not_missed(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    await other.commit(Create(f"{root}/a"))
    async with store.watch(f"{root}/a", children=[root]) as watch:
        for version in range(20):
            await other.commit(Put(f"{root}/a", b"", version))
            await watch.wait()
            await other.commit(Create(f"{root}/new-{version}"))
            await watch.wait()


async def test_a_reader_that_follows_a_busy_writer_sees_the_last_value(
    harness: Harness, store: Store, root: str
) -> None:
    path, last = f"{root}/a", 200
    other = await harness.session()
    await other.commit(Create(path, b"0"))

    async def write() -> None:
        for version in range(last):
            await other.commit(Put(path, str(version + 1).encode(), version))

    async with store.watch(path) as watch, asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        while (await store.get(path)).version < last:
            await watch.wait()


async def test_all_of_many_watchers_ring(harness: Harness, root: str) -> None:
    sessions = [await harness.session() for _ in range(4)]
    async with AsyncExitStack() as stack:
        watches = [
            await stack.enter_async_context(sessions[number % 4].watch(f"{root}/{number % 50}", f"{root}/all"))
            for number in range(200)
        ]
        for common in (Create(f"{root}/all"), Put(f"{root}/all", b"", 0)):
            await sessions[0].commit(common)
            await asyncio.gather(*(watch.wait() for watch in watches))
        await sessions[0].commit(*(Create(f"{root}/{number}") for number in range(50)))
        await asyncio.gather(*(watch.wait() for watch in watches))


async def test_a_wait_that_was_cancelled_leaves_the_change_to_the_next(
    harness: Harness, store: Store, root: str
) -> None:
    other = await harness.session()
    async with store.watch(f"{root}/a") as watch:
        waiting = asyncio.ensure_future(watch.wait())
        await store.get_many([root])
        waiting.cancel()
        await asyncio.wait([waiting])
        await other.commit(Create(f"{root}/a"))
        await watch.wait()


@pytest.mark.parametrize("turns", range(12))
async def test_a_ring_is_not_lost_wherever_the_wait_is_cancelled(store: Store, root: str, turns: int) -> None:
    """The wait is cut after some turns of the event loop: before, within and after its own requests."""
    async with store.watch(f"{root}/a") as watch:
        await store.commit(Create(f"{root}/a"))
        waiting = asyncio.ensure_future(watch.wait())
        for _ in range(turns):
            await asyncio.sleep(0)
        if waiting.cancel():
            await asyncio.wait([waiting])
            await watch.wait()
        for version in range(3):
            await store.commit(Put(f"{root}/a", b"", version))
            await watch.wait()


async def test_a_waiting_watch_hears_of_the_session_s_end(harness: Harness, store: Store, root: str) -> None:
    async with store.watch(f"{root}/a", children=[root]) as watch:
        waiting = asyncio.ensure_future(watch.wait())
        await harness.lose(store)
        with pytest.raises(SessionLost):
            await waiting
        with pytest.raises(SessionLost):
            await watch.wait()
