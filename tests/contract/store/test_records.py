"""Records, their versions, and transactions."""

from __future__ import annotations

import asyncio

import pytest

from pvc.errors import AlreadyExists, Changed, Conflict, NotFound, PVCError, TooLarge
from pvc.store.base import MAX_VALUE, Check, Create, Delete, Entry, Operation, Put, Store
from tests.contract.store.harness import Harness


async def refused(store: Store, *operations: Operation) -> PVCError:
    with pytest.raises(PVCError) as caught:
        await store.commit(*operations)
    return caught.value


async def test_what_was_created_is_read_back_at_version_0(store: Store, root: str) -> None:
    await store.commit(Create(f"{root}/a", b"one"))
    assert await store.get(f"{root}/a") == Entry(b"one", 0)


async def test_every_put_raises_the_version_by_one(store: Store, root: str) -> None:
    await store.commit(Create(f"{root}/a"))
    for version in range(3):
        await store.commit(Put(f"{root}/a", str(version).encode(), version))
    assert await store.get(f"{root}/a") == Entry(b"2", 3)


@pytest.mark.parametrize("version", [1, -1])
async def test_version_0_is_a_version_like_any_other(store: Store, root: str, version: int) -> None:
    path = f"{root}/a"
    await store.commit(Create(path, b"kept"))
    for operation in (Put(path, b"new", version), Delete(path, version), Check(path, version)):
        assert isinstance(await refused(store, operation), Changed)
    await store.commit(Check(path, 0))
    await store.commit(Put(path, b"new", 0))
    for late in (Put(path, b"newer", 0), Delete(path, 0), Check(path, 0)):
        assert isinstance(await refused(store, late), Changed)
    assert await store.get(path) == Entry(b"new", 1)


async def test_a_recreated_record_begins_at_version_0_again(store: Store, root: str) -> None:
    path = f"{root}/a"
    await store.commit(Create(path, b"1"), Put(path, b"2", 0))
    await store.commit(Delete(path, 1))
    await store.commit(Create(path, b"3"))
    assert await store.get(path) == Entry(b"3", 0)


async def test_what_does_not_exist_is_not_found_by_its_path(store: Store, root: str) -> None:
    path = f"{root}/none"
    with pytest.raises(NotFound) as caught:
        await store.get(path)
    assert caught.value.fields == {"kind": "record", "name": path}
    with pytest.raises(NotFound):
        await store.children(path)
    for operation in (Put(path, b"", 0), Delete(path, 0), Check(path, 0)):
        error = await refused(store, operation)
        assert isinstance(error, NotFound)
        assert error.fields == {"kind": "record", "name": path}


async def test_a_record_below_none_is_not_made(store: Store, root: str) -> None:
    error = await refused(store, Create(f"{root}/none/a"))
    assert isinstance(error, NotFound)
    assert error.fields["name"] == f"{root}/none/a"


async def test_a_record_with_records_below_it_stays(store: Store, root: str) -> None:
    await store.commit(Create(f"{root}/a"), Create(f"{root}/a/b"))
    error = await refused(store, Delete(f"{root}/a", 0))
    assert type(error) is Conflict
    assert str(error) == f'Record "{root}/a" has records below it.'
    assert await store.children(f"{root}/a") == ["b"]


async def test_children_are_names_in_order(store: Store, root: str) -> None:
    assert await store.children(root) == []
    await store.commit(*(Create(f"{root}/{name}") for name in ("b", "a", "ä", "B", "a.b")), Create(f"{root}/a/deeper"))
    assert await store.children(root) == ["B", "a", "a.b", "b", "ä"]


async def test_many_are_read_at_once_with_none_for_those_that_are_not_there(store: Store, root: str) -> None:
    paths = [f"{root}/{number}" for number in range(450)]
    await store.commit(*(Create(path, path.encode()) for path in paths[::2]))
    entries = await store.get_many(paths)
    assert [entry and entry.value for entry in entries[::2]] == [path.encode() for path in paths[::2]]
    assert set(entries[1::2]) == {None}
    assert await store.get_many([]) == []


async def test_ensure_makes_what_is_missing_and_changes_nothing_else(store: Store, root: str) -> None:
    await store.commit(Create(f"{root}/a", b"kept"))
    await store.ensure(f"{root}/a/b/c")
    await store.ensure(f"{root}/a/b/c")
    assert await store.get_many([f"{root}/a", f"{root}/a/b", f"{root}/a/b/c"]) == [
        Entry(b"kept", 0),
        Entry(b"", 0),
        Entry(b"", 0),
    ]


async def test_operations_see_those_before_them(store: Store, root: str) -> None:
    path = f"{root}/a"
    await store.commit(Create(path), Create(f"{path}/b"), Put(path, b"x", 0), Check(path, 1), Delete(f"{path}/b", 0))
    await store.commit(Delete(path, 1), Create(path, b"again"))
    assert await store.get(path) == Entry(b"again", 0)
    assert await store.children(path) == []


@pytest.mark.parametrize("at", range(4))
async def test_a_failed_operation_raises_its_own_error_and_nothing_is_done(store: Store, root: str, at: int) -> None:
    await store.commit(Create(f"{root}/old", b"old"), Create(f"{root}/gone"))
    good: list[Operation] = [Create(f"{root}/new"), Put(f"{root}/old", b"new", 0), Delete(f"{root}/gone", 0)]
    for bad, kind in (
        (Create(f"{root}/old"), AlreadyExists),
        (Put(f"{root}/old", b"", 7), Changed),
        (Check(f"{root}/none", 0), NotFound),
    ):
        error = await refused(store, *good[:at], bad, *good[at:])
        assert type(error) is kind
        assert error.fields == {"kind": "record", "name": bad.path}
    assert await store.children(root) == ["gone", "old"]
    assert await store.get(f"{root}/old") == Entry(b"old", 0)


async def test_the_first_of_several_failed_operations_is_named(store: Store, root: str) -> None:
    error = await refused(store, Create(f"{root}/a"), Check(f"{root}/first", 0), Check(f"{root}/second", 0))
    assert error.fields["name"] == f"{root}/first"


async def test_nothing_to_do_is_done(store: Store) -> None:
    await store.commit()


@pytest.mark.parametrize("value", [b"", b"\x00\xff", "Grüße, 世界 🐏".encode(), b'{"a": "\n"}'])
async def test_values_come_back_byte_by_byte(store: Store, root: str, value: bytes) -> None:
    await store.commit(Create(f"{root}/a", value))
    assert (await store.get(f"{root}/a")).value == value
    await store.commit(Put(f"{root}/a", b"other", 0))
    await store.commit(Put(f"{root}/a", value, 1))
    assert (await store.get(f"{root}/a")).value == value


async def test_the_largest_value_is_kept(store: Store, root: str) -> None:
    largest = bytes(MAX_VALUE)
    await store.commit(Create(f"{root}/a", largest))
    await store.commit(Put(f"{root}/a", largest[::-1], 0), Create(f"{root}/b"))
    assert (await store.get(f"{root}/a")).value == largest


async def test_a_larger_value_is_refused_and_the_session_goes_on(store: Store, root: str) -> None:
    error = await refused(store, Create(f"{root}/b"), Create(f"{root}/a", bytes(MAX_VALUE + 1)))
    assert isinstance(error, TooLarge)
    assert str(error) == f'Record "{root}/a" has 1000001 bytes, the limit is 1000000.'
    assert await store.children(root) == []
    assert not store.lost.is_set()


async def test_values_that_are_too_large_together_are_refused(store: Store, root: str) -> None:
    half = bytes(MAX_VALUE // 2)
    error = await refused(store, Create(f"{root}/a", half), Create(f"{root}/b", half), Create(f"{root}/c", b"1"))
    assert isinstance(error, TooLarge)
    await store.commit(Create(f"{root}/a", half), Create(f"{root}/b", half))


async def test_many_small_operations_are_refused_where_their_paths_are_too_much(store: Store, root: str) -> None:
    name = "x" * 1000
    assert isinstance(await refused(store, *(Create(f"{root}/{name}{n}") for n in range(1000))), TooLarge)
    await store.commit(*(Create(f"{root}/{name}{n}") for n in range(900)))
    assert len(await store.children(root)) == 900


async def test_of_50_creators_of_one_name_exactly_one_wins(harness: Harness) -> None:
    """The index record makes the name unique, in the same transaction as the object."""
    root = harness.root
    sessions = [await harness.session() for _ in range(5)]
    await sessions[0].commit(Create(f"{root}/objects"), Create(f"{root}/names"))

    async def create(number: int) -> int:
        index = Create(f"{root}/names/web1", str(number).encode())
        await sessions[number % 5].commit(Create(f"{root}/objects/{number}"), index)
        return number

    results = await asyncio.gather(*(create(number) for number in range(50)), return_exceptions=True)
    winners = [result for result in results if isinstance(result, int)]
    losers = [result for result in results if isinstance(result, AlreadyExists)]
    assert (len(winners), len(losers)) == (1, 49)
    assert {str(loser.fields["name"]) for loser in losers} == {f"{root}/names/web1"}
    assert await sessions[0].children(f"{root}/objects") == [str(winners[0])]
    assert (await sessions[0].get(f"{root}/names/web1")).value == str(winners[0]).encode()


async def test_concurrent_compare_and_set_loses_no_increment(harness: Harness) -> None:
    path = f"{harness.root}/counter"
    sessions = [await harness.session() for _ in range(4)]
    await sessions[0].commit(Create(path, b"0"))

    async def add_one(store: Store) -> None:
        while True:
            entry = await store.get(path)
            try:
                await store.commit(Put(path, str(int(entry.value) + 1).encode(), entry.version))
            except Changed:
                continue
            return

    await asyncio.gather(*(add_one(store) for store in sessions for _ in range(5)))
    assert await sessions[0].get(path) == Entry(b"20", 20)
