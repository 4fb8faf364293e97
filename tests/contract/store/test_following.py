"""Following: what was read says once for sure that it changed, by name, and nothing is missed in between."""

from __future__ import annotations

import asyncio

import pytest

from pvc.errors import SessionLost
from pvc.store.base import About, Create, Delete, Entry, Following, Put, Store, Topic
from tests.contract.store.harness import Harness


def record(path: str) -> Topic:
    return Topic(About.RECORD, path)


def names(path: str) -> Topic:
    return Topic(About.CHILDREN, path)


async def rung(following: Following, store: Store) -> frozenset[Topic]:
    """What has rung by now."""
    await store.sync()
    return await following.changed() if following.rang else frozenset()


async def test_what_changed_is_named_and_nothing_else(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    await other.commit(Create(f"{root}/a"), Create(f"{root}/b"), Create(f"{root}/c"))
    async with store.follow() as following:
        assert await following.entries([f"{root}/a", f"{root}/b"]) == [Entry(b"", 0)] * 2
        assert await following.lists([root]) == [["a", "b", "c"]]
        await other.commit(Put(f"{root}/b", b"x", 0), Put(f"{root}/c", b"x", 0))
        assert await rung(following, store) == {record(f"{root}/b")}
        await other.commit(Create(f"{root}/d"))
        assert await rung(following, store) == {names(root)}
        await other.commit(Delete(f"{root}/a", 0))
        await following.lists([root])
        assert record(f"{root}/a") in await rung(following, store)


async def test_what_is_read_again_rings_again(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    await other.commit(Create(f"{root}/a"))
    async with store.follow() as following:
        for version in range(20):
            assert await following.entries([f"{root}/a"]) == [Entry(b"", version)]
            await other.commit(Put(f"{root}/a", b"", version))
            assert await rung(following, store) == {record(f"{root}/a")}


async def test_what_does_not_exist_is_followed_by_its_list_alone(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    async with store.follow() as following:
        assert await following.entries([f"{root}/a"]) == [None]
        assert await following.lists([root, f"{root}/a"]) == [[], None]
        await other.ensure(f"{root}/a/b")
        assert await rung(following, store) == {names(root)}


async def test_what_is_handed_back_rings_again(store: Store, root: str) -> None:
    async with store.follow() as following:
        await following.lists([root])
        await store.commit(Create(f"{root}/a"))
        due = await following.changed()
        assert not following.rang
        following.again(due)
        assert following.rang
        assert await following.changed() == due


async def test_a_follower_of_a_busy_writer_has_the_last_value(harness: Harness, store: Store, root: str) -> None:
    path, last = f"{root}/a", 200
    other = await harness.session()
    await other.commit(Create(path))

    async def write() -> None:
        for version in range(last):
            await other.commit(Put(path, b"", version))

    async with store.follow() as following, asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        while (await following.entries([path])) != [Entry(b"", last)]:
            await following.changed()


async def test_another_watch_on_the_same_record_takes_nothing_away(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    await other.commit(Create(f"{root}/a"))
    async with store.watch(f"{root}/a") as watch, store.follow() as following:
        for version in range(5):
            await following.entries([f"{root}/a"])
            await other.commit(Put(f"{root}/a", b"", version))
            await watch.wait()
            assert await following.changed() == {record(f"{root}/a")}


async def test_who_waits_hears_of_the_session_s_end(harness: Harness, store: Store, root: str) -> None:
    async with store.follow() as following:
        await following.lists([root])
        waiting = asyncio.ensure_future(following.changed())
        await harness.lose(store)
        with pytest.raises(SessionLost):
            await waiting  # the broken connection may have rung before
            await following.changed()
        with pytest.raises(SessionLost):
            await following.entries([root])
