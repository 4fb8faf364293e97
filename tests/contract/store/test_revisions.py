"""Revisions: how far a session has heard, and that whatever came before has rung."""

from __future__ import annotations

import asyncio

import pytest

from pvc.errors import SessionLost
from pvc.store.base import Create, Delete, Put, Store
from tests.contract.store.harness import Harness


async def test_every_kind_of_change_raises_the_revision_of_who_made_it(store: Store, root: str) -> None:
    seen = [store.revision]
    for operation in (Create(f"{root}/a"), Put(f"{root}/a", b"x", 0), Delete(f"{root}/a", 1)):
        await store.commit(operation)
        seen.append(store.revision)
    await store.ensure(f"{root}/b/c")
    seen.append(store.revision)
    assert seen == sorted(set(seen))


async def test_a_synced_session_has_come_to_what_another_was_told(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    await store.commit(Create(f"{root}/a", b"0"))
    for version in range(50):
        await store.commit(Put(f"{root}/a", b"", version))
        await other.sync()
        assert other.revision >= store.revision
        assert (await other.get(f"{root}/a")).version == version + 1


async def test_what_a_revision_has_had_rung_before(harness: Harness, store: Store, root: str) -> None:
    """No turn of the event loop lies between hearing of the revision and looking at the bell."""
    other = await harness.session()
    await store.commit(*(Create(f"{root}/{number}") for number in range(20)))
    async with other.follow() as following:
        for version in range(100):
            path = f"{root}/{version % 20}"
            await following.entries([path])
            assert not following.rang
            await store.commit(Put(path, b"", version // 20))
            await other.sync()
            assert other.revision >= store.revision
            assert following.rang
            await following.changed()


async def test_a_later_session_goes_on_where_an_earlier_one_was(harness: Harness, store: Store, root: str) -> None:
    await store.commit(Create(f"{root}/a"))
    before = store.revision
    await harness.lose(store)
    fresh = await harness.session()
    await fresh.sync()
    assert fresh.revision >= before


async def test_a_lost_session_has_no_revision(harness: Harness, store: Store) -> None:
    await harness.lose(store)
    with pytest.raises(SessionLost):
        _ = store.revision
    with pytest.raises(SessionLost):
        await store.sync()


async def test_a_wait_for_the_bell_does_not_hold_up_a_revision(harness: Harness, store: Store, root: str) -> None:
    other = await harness.session()
    await store.commit(Create(f"{root}/a"))
    async with other.follow() as following:
        await following.entries([f"{root}/a"])
        waiting = asyncio.ensure_future(following.changed())
        await store.commit(Put(f"{root}/a", b"", 0))
        await other.sync()
        assert other.revision >= store.revision
        assert {topic.path for topic in await waiting} == {f"{root}/a"}
