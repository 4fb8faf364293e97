"""The mirror's tree, and what a change costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pvc.errors import StoreUnavailable
from pvc.store.base import Create, Delete, Entry, Following, Put, Topic
from pvc.store.embedded import EmbeddedSource, EmbeddedStore
from pvc.store.mirror import Changes, Mirror, Tree

ONE, TWO = Entry(b"1", 0), Entry(b"2", 0)


def tree() -> Tree:
    made = Tree({"/vms": 1, "/nodes": 2})
    made.apply(
        Changes(
            {"/vms": ["a", "b"], "/nodes": ["hv1"], "/nodes/hv1": ["alive"]},
            {"/vms/a": ONE, "/vms/b": ONE, "/nodes/hv1": ONE, "/nodes/hv1/alive": ONE},
        )
    )
    return made


def test_a_record_goes_with_its_name() -> None:
    made = tree()
    made.apply(Changes({"/vms": ["b", "c"]}, {"/vms/c": TWO}))
    assert {path for path in made.entries if path.startswith("/vms")} == {"/vms/b", "/vms/c"}


def test_a_record_whose_name_is_not_listed_yet_is_not_shown_and_counts_as_new() -> None:
    made = tree()
    made.apply(Changes(entries={"/vms/c": TWO}))
    assert "/vms/c" not in made.entries
    assert made.new("/vms", Changes({"/vms": ["a", "c"]})) == ["/vms/c"]


def test_a_record_that_is_gone_before_its_name_is_new_when_it_is_back() -> None:
    made = tree()
    made.apply(Changes(entries={"/vms/a": None}))
    assert made.new("/vms", Changes({"/vms": ["a", "b"]})) == ["/vms/a"]


def test_a_folder_that_was_read_between_two_lives_is_new_when_it_is_back() -> None:
    again = Changes({"/nodes": ["hv1"]})
    made = tree()
    assert made.new("/nodes", again) == []
    assert made.new("/nodes", Changes({"/nodes": ["hv1"], "/nodes/hv1": None})) == ["/nodes/hv1"]
    made.apply(Changes({"/nodes": ["hv1"], "/nodes/hv1": None}, {"/nodes/hv1": TWO}))
    assert made.new("/nodes", again) == ["/nodes/hv1"]
    made.apply(Changes({"/nodes/hv1": []}))
    assert made.new("/nodes", again) == []


@pytest.mark.parametrize(
    "changes",
    [
        Changes({"/nodes": []}),
        Changes(entries={"/nodes/hv1": None}),
        Changes({"/nodes": None}),
    ],
)
def test_what_is_below_goes_along(changes: Changes) -> None:
    made = tree()
    made.apply(changes)
    assert not [path for path in (*made.entries, *made.names) if path.startswith("/nodes/")]


def test_a_folder_that_is_gone_leaves_nothing() -> None:
    made = tree()
    made.apply(Changes({"/nodes/hv1": None}))
    assert "/nodes/hv1/alive" not in made.entries
    assert "/nodes/hv1" not in made.names


def test_levels_tell_what_is_a_folder() -> None:
    paths = ("/vms", "/vms/a", "/nodes", "/nodes/hv1", "/nodes/hv1/alive", "/vmsx", "/")
    assert [path for path in paths if tree().is_folder(path)] == ["/vms", "/nodes", "/nodes/hv1"]


class Counted:
    """A Following that counts what is read through it, and refuses as often as it is told to."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self.entries_read = self.lists_read = self.refusals = 0

    @property
    def rang(self) -> bool:
        return self._following.rang

    async def entries(self, paths: Sequence[str]) -> list[Entry | None]:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable(reason="it is said to be away")
        self.entries_read += len(paths)
        return await self._following.entries(paths)

    async def lists(self, paths: Sequence[str]) -> list[list[str] | None]:
        self.lists_read += len(paths)
        return await self._following.lists(paths)

    async def changed(self) -> frozenset[Topic]:
        return await self._following.changed()

    def __getattr__(self, name: str) -> object:
        return getattr(self._following, name)


@asynccontextmanager
async def counted(store: EmbeddedStore) -> AsyncIterator[tuple[Mirror, Counted]]:
    """A mirror of 1000 records, loaded."""
    await store.commit(Create("/vms"), *(Create(f"/vms/{number}") for number in range(1000)))
    async with store.follow() as following:
        reads = Counted(following)
        mirror = Mirror(store, reads, Tree({"/vms": 1}))  # type: ignore[arg-type]
        await mirror.load()
        keeping = asyncio.create_task(mirror.keep())
        reads.entries_read = reads.lists_read = 0
        yield mirror, reads
        keeping.cancel()
        await asyncio.wait([keeping])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    yield await source.session()
    await source.aclose()


async def test_a_change_of_one_record_of_many_costs_one_read(store: EmbeddedStore) -> None:
    async with counted(store) as (mirror, reads):
        await store.commit(Put("/vms/7", b"x", 0))
        await mirror.settled()
        assert (reads.entries_read, reads.lists_read) == (1, 0)
        await store.commit(Create("/vms/new"))
        await mirror.settled()
        assert (reads.entries_read, reads.lists_read) == (2, 1)
        await store.commit(Delete("/vms/7", 1))
        await mirror.settled()
        assert reads.entries_read + reads.lists_read <= 5


async def test_what_is_not_its_own_costs_nothing_and_yet_the_revision_goes_on(store: EmbeddedStore) -> None:
    async with counted(store) as (mirror, reads):
        await store.commit(Create("/tasks"), Create("/tasks/1"))
        assert await mirror.settled() == store.revision
        assert (reads.entries_read, reads.lists_read, mirror.rounds) == (0, 0, 1)


async def test_what_could_not_be_read_is_read_when_the_store_is_back(store: EmbeddedStore) -> None:
    async with counted(store) as (mirror, reads):
        reads.refusals = 2
        await store.commit(Create("/vms/new", b"x"), Put("/vms/7", b"y", 0))
        await mirror.settled()
        assert await mirror.get_many(["/vms/new", "/vms/7"]) == [Entry(b"x", 0), Entry(b"y", 1)]
        assert reads.refusals == 0


async def test_a_reader_is_refused_when_the_session_ends_while_it_waits(store: EmbeddedStore) -> None:
    async with counted(store) as (mirror, reads):
        reads.refusals = 1000
        await store.commit(Put("/vms/7", b"y", 0))
        waiting = asyncio.create_task(mirror.settled())
        while reads.refusals == 1000:
            await asyncio.sleep(0)
        await store.aclose()
        with pytest.raises(StoreUnavailable):
            await waiting
