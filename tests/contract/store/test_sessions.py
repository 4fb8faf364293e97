"""Sessions: what ends with them, and how their owner hears of it."""

from __future__ import annotations

import asyncio

import pytest

from pvc.errors import Busy, Conflict, NotFound, SessionLost, StoreUnavailable
from pvc.store.base import Check, Create, Put, Store
from tests.contract.store.harness import Harness


async def ephemeral_of(store: Store, path: str) -> None:
    await store.commit(Create(path, b"alive", ephemeral=True))


async def test_an_ephemeral_record_vanishes_when_its_session_is_closed(harness: Harness, root: str) -> None:
    owner, other = await harness.session(), await harness.session()
    await owner.commit(Create(f"{root}/alive", ephemeral=True), Create(f"{root}/stays"))
    async with other.watch(f"{root}/alive", children=[root]) as watch:
        assert await other.children(root) == ["alive", "stays"]
        await owner.aclose()
        await watch.wait()
        assert await other.children(root) == ["stays"]


async def test_an_ephemeral_record_vanishes_when_its_session_is_lost(harness: Harness, root: str) -> None:
    owner, other = await harness.session(), await harness.session()
    await ephemeral_of(owner, f"{root}/alive")
    async with other.watch(f"{root}/alive") as watch:
        await harness.lose(owner)
        await watch.wait()
        with pytest.raises(NotFound):
            await other.get(f"{root}/alive")


async def test_another_session_s_end_leaves_an_ephemeral_record(harness: Harness, root: str) -> None:
    owner, other = await harness.session(), await harness.session()
    await ephemeral_of(owner, f"{root}/alive")
    await other.commit(Put(f"{root}/alive", b"changed", 0))
    await harness.lose(other)
    assert (await owner.get(f"{root}/alive")).value == b"changed"


async def test_nothing_stands_below_an_ephemeral_record(store: Store, root: str) -> None:
    await ephemeral_of(store, f"{root}/alive")
    with pytest.raises(Conflict, match=f'Record "{root}/alive/a" cannot stand below an ephemeral record'):
        await store.commit(Create(f"{root}/alive/a"))


async def test_a_lost_session_sets_lost_and_refuses_every_call(harness: Harness, store: Store, root: str) -> None:
    assert not store.lost.is_set()
    await harness.lose(store)
    assert store.lost.is_set()
    calls = [
        store.get(root),
        store.get_many([root]),
        store.children(root),
        store.ensure(f"{root}/a"),
        store.commit(Check(root, 0)),
        store.watch(root).__aenter__(),
        store.lock("a", "test").__aenter__(),
    ]
    for call in calls:
        with pytest.raises(SessionLost):
            await call
    assert await (await harness.session()).children(root) == []


async def test_a_closed_session_is_lost_and_closing_twice_is_fine(store: Store, root: str) -> None:
    await store.aclose()
    await store.aclose()
    assert store.lost.is_set()
    with pytest.raises(SessionLost):
        await store.get(root)


async def test_a_new_session_works_after_a_loss(harness: Harness, store: Store, root: str) -> None:
    await store.commit(Create(f"{root}/a", b"kept"))
    await harness.lose(store)
    fresh = await harness.session()
    assert not fresh.lost.is_set()
    assert (await fresh.get(f"{root}/a")).value == b"kept"
    await fresh.commit(Put(f"{root}/a", b"new", 0))


async def test_a_call_under_way_ends_when_the_session_does(harness: Harness, store: Store, root: str) -> None:
    calls = [asyncio.ensure_future(store.get_many([root] * 300)) for _ in range(20)]
    await harness.lose(store)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, (list, StoreUnavailable)) for result in results)


async def test_a_lock_refuses_others_and_names_its_holder(harness: Harness, store: Store) -> None:
    other = await harness.session()
    async with store.lock("vm-1", "upload 3f2a"):
        for session in (other, store):
            with pytest.raises(Busy) as caught:
                async with session.lock("vm-1", "migration 77"):
                    pytest.fail("two hold the lock")
            assert caught.value.fields == {"kind": "lock", "name": "vm-1", "holder": "upload 3f2a"}
        async with other.lock("vm-2", "another lock"):
            pass
    async with other.lock("vm-1", "migration 77"):
        pass


async def test_all_locks_are_told_with_their_holders_as_long_as_they_are_held(harness: Harness, store: Store) -> None:
    other = await harness.session()
    assert await other.locks() == {}
    async with store.lock("vm-1", "upload 3f2a"), other.lock("vm-2", "migration 77"):
        for session in (store, other):
            assert await session.locks() == {"vm-1": "upload 3f2a", "vm-2": "migration 77"}
    assert await store.locks() == {}


async def test_a_refused_lock_stays_with_its_holder(harness: Harness, store: Store) -> None:
    other, third = await harness.session(), await harness.session()
    async with store.lock("vm-1", "first"):
        for session in (other, store, third):
            with pytest.raises(Busy, match="first"):
                await session.lock("vm-1", "late").__aenter__()


async def test_a_lock_is_free_after_its_block_failed(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.lock("vm-1", "who fails"):
            raise ZeroDivisionError
    async with store.lock("vm-1", "who comes next"):
        pass


async def test_of_many_that_want_a_lock_one_has_it_at_a_time(harness: Harness) -> None:
    sessions = [await harness.session() for _ in range(4)]
    holders: list[int] = []
    refused = 0

    async def hold(number: int) -> None:
        nonlocal refused
        try:
            async with sessions[number % 4].lock("vm-1", str(number)):
                holders.append(number)
                assert len(holders) == 1
                await sessions[number % 4].get_many(["/"] * 5)
                holders.remove(number)
        except Busy:
            refused += 1

    for _ in range(5):
        await asyncio.gather(*(hold(number) for number in range(8)))
    assert 0 < refused < 40


async def test_a_lock_vanishes_with_its_session(harness: Harness, store: Store) -> None:
    other = await harness.session()
    async with store.lock("vm-1", "who is lost"):
        await harness.lose(store)
        async with other.lock("vm-1", "who comes next"):
            pass


async def test_a_lost_holder_does_not_take_the_next_one_s_lock_away(harness: Harness, store: Store) -> None:
    other, third = await harness.session(), await harness.session()
    lost = store.lock("vm-1", "who is lost")
    await lost.__aenter__()
    await harness.lose(store)
    async with other.lock("vm-1", "who came next"):
        await lost.__aexit__(None, None, None)
        with pytest.raises(Busy, match="who came next"):
            await third.lock("vm-1", "late").__aenter__()


@pytest.mark.parametrize("turns", range(12))
async def test_a_lock_that_is_cancelled_while_it_is_taken_is_free_again(
    harness: Harness, store: Store, turns: int
) -> None:
    async def hold() -> None:
        async with store.lock("vm-1", "who gives up"):
            await store.lost.wait()

    holding = asyncio.ensure_future(hold())
    for _ in range(turns):
        await asyncio.sleep(0)
    holding.cancel()
    await asyncio.wait([holding])
    async with store.lock("vm-1", "who comes next"):
        pass
    async with (await harness.session()).lock("vm-1", "who comes last"):
        pass
