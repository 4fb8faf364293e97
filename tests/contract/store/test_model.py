"""Random transactions do to each store what they do to a dict."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvc.errors import AlreadyExists, Changed, Conflict, NotFound, PVCError
from pvc.store.base import Check, Create, Delete, Entry, Operation, Put, Store
from tests.contract.store.harness import EmbeddedHarness, Harness, ZooKeeperHarness

PATHS = ["/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/deep"]

paths = st.sampled_from(PATHS)
values = st.binary(max_size=4)
versions = st.sampled_from([0, 0, 0, 1, 1, 2, -1])
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Create, paths, values),
    st.builds(Put, paths, values, versions),
    st.builds(Delete, paths, versions),
    st.builds(Check, paths, versions),
)
transactions = st.lists(st.lists(operations, min_size=1, max_size=4), max_size=12)

_numbers = itertools.count(1)


class Model:
    def __init__(self) -> None:
        self.records: dict[str, Entry] = {}

    def commit(self, batch: list[Operation]) -> tuple[type[PVCError], str] | None:
        """Return what is refused, and on which path."""
        after = Model()
        after.records = dict(self.records)
        for operation in batch:
            refusal = after.apply(operation)
            if refusal is not None:
                return refusal, operation.path
        self.records = after.records
        return None

    def apply(self, operation: Operation) -> type[PVCError] | None:
        path, present = operation.path, self.records.get(operation.path)
        if isinstance(operation, Create):
            parent = path.rpartition("/")[0]
            if parent and parent not in self.records:
                return NotFound
            if present is not None:
                return AlreadyExists
            self.records[path] = Entry(operation.value, 0)
            return None
        if present is None:
            return NotFound
        if present.version != operation.version:
            return Changed
        if isinstance(operation, Put):
            self.records[path] = Entry(operation.value, present.version + 1)
        elif isinstance(operation, Delete):
            if self.children(path):
                return Conflict
            del self.records[path]
        return None

    def children(self, path: str) -> list[str]:
        return sorted(name for parent, _, name in (other.rpartition("/") for other in self.records) if parent == path)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


@pytest.fixture(scope="module", params=["embedded", pytest.param("zookeeper", marks=pytest.mark.real)])
def opened(
    request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    harness = runner.run(_open(request, tmp_path_factory.mktemp("model")))
    yield harness
    runner.run(harness.aclose())


async def _open(request: pytest.FixtureRequest, folder: Path) -> Harness:
    if request.param == "embedded":
        return await EmbeddedHarness.open(folder)
    return await ZooKeeperHarness.open(request.getfixturevalue("zookeeper"))


# kazoo's thread draws its own random numbers beside us.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@settings(max_examples=80, deadline=None)
@given(batches=transactions)
def test_random_transactions_have_the_results_of_a_plain_dict(
    opened: Harness, runner: asyncio.Runner, batches: list[list[Operation]]
) -> None:
    runner.run(_compare(opened, batches))


async def _compare(harness: Harness, batches: list[list[Operation]]) -> None:
    root, model, store = f"{harness.root}/{next(_numbers)}", Model(), await harness.session()
    await store.ensure(root)
    for batch in batches:
        assert await _commit(store, root, batch) == model.commit(batch)
        assert await store.get_many([root + path for path in PATHS]) == [model.records.get(path) for path in PATHS]
        for path in ["", *model.records]:
            assert await store.children(root + path) == model.children(path)
    await store.aclose()


async def _commit(store: Store, root: str, batch: list[Operation]) -> tuple[type[PVCError], str] | None:
    try:
        await store.commit(*(_below(root, operation) for operation in batch))
    except PVCError as exc:
        return type(exc), str(exc.fields["name"]).removeprefix(root)
    return None


def _below(root: str, operation: Operation) -> Operation:
    match operation:
        case Create(path, value):
            return Create(root + path, value)
        case Put(path, value, version):
            return Put(root + path, value, version)
        case Delete(path, version):
            return Delete(root + path, version)
        case Check(path, version):
            return Check(root + path, version)
