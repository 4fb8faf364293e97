"""Which generation of the state is in force, the first one's making, and generations beside it.

A generation whose root holds nothing is being written, or was left half-written; the flip that puts one in force
writes into its root, in the same transaction, what CURRENT then holds (docs/design/017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import msgspec

from pvc.errors import AlreadyExists, Conflict, NotFound
from pvc.model.records import SCHEMA, Cluster, decode, encode
from pvc.store.base import Create, Delete, Entry, Operation, Put, Store
from pvc.store.paths import BASE, CURRENT, Paths, generation_root

_FIRST = "1"
_DOOMED = b"removed"

# Of one transaction: far below what a store takes, because ZooKeeper keeps the last 500 of them in its memory.
_MOST_BYTES = 100_000
_MOST_OPERATIONS = 500


class _Schema(msgspec.Struct):
    """The one field that every version of the record has, past and to come."""

    schema: int


async def open_generation(store: Store, new_id: str, now: float) -> tuple[Paths, Cluster]:
    """Return the generation in force; make the first one in an empty store. Several servers may do so at once.

    new_id: the cluster's id if it is made now. now: seconds since the epoch.
    Raises Conflict when a newer pvc wrote the store, Corrupt when the record cannot be read.
    """
    try:
        _, cluster = await read_current(store)
    except NotFound:
        await _make_first(store, Cluster(schema=SCHEMA, id=new_id, generation=_FIRST, created_at=now))
        _, cluster = await read_current(store)
    return Paths(generation_root(cluster.generation)), cluster


async def read_current(store: Store) -> tuple[Entry, Cluster]:
    """Raises NotFound in an empty store, Conflict, Corrupt."""
    entry = await store.get(CURRENT)
    schema = decode(_Schema, entry.value, CURRENT).schema
    if schema > SCHEMA:
        problem = f"was written by a newer pvc: it has schema {schema}, this pvc knows {SCHEMA}"
        raise Conflict(kind="store", name=CURRENT, problem=problem)
    return entry, decode(Cluster, entry.value, CURRENT)


async def _make_first(store: Store, cluster: Cluster) -> None:
    for folder in Paths(generation_root(cluster.generation)).folders:
        await store.ensure(folder)
    with suppress(AlreadyExists):  # another server was first: its record counts
        await store.commit(Create(CURRENT, encode(cluster)))


async def kept(store: Store) -> list[Cluster]:
    """Every complete generation, oldest first, the one in force among them."""
    _, current = await read_current(store)
    names = [name for name in await _names(store) if name != current.generation]
    entries = await store.get_many([generation_root(name) for name in names])
    complete = [
        decode(Cluster, entry.value, generation_root(name))
        for name, entry in zip(names, entries, strict=True)
        if entry is not None and _is_complete(entry)
    ]
    return sorted([*complete, current], key=lambda cluster: int(cluster.generation))


async def begin(store: Store) -> str:
    """Make a new generation's root, empty, and return its name. Only one is made at a time."""
    name = str(max(map(int, await _names(store))) + 1)
    await store.commit(Create(generation_root(name)))
    return name


async def fill(
    store: Store, operations: Iterable[Operation], wrote: Callable[[int], None] = lambda _count: None
) -> None:
    """Do any number of operations, in order, in transactions that a store takes. wrote: told how many are done."""
    count = 0
    for batch in _batches(operations):
        await store.commit(*batch)
        count += len(batch)
        wrote(count)


async def clear(store: Store) -> list[str]:
    """Remove generations that were left half-written, and return their names. Nobody may be writing one."""
    _, current = await read_current(store)
    names = [name for name in await _names(store) if name != current.generation]
    entries = await store.get_many([generation_root(name) for name in names])
    left = [name for name, entry in zip(names, entries, strict=True) if entry is not None and not _is_complete(entry)]
    for name in left:
        await remove(store, name)
    return left


async def remove(store: Store, name: str) -> None:
    """Raises Conflict for the one in force. What is cut off is half-written, and removed by the next `clear`."""
    _, current = await read_current(store)
    if name == current.generation:
        raise Conflict(kind="generation", name=name, problem="is in force")
    root = generation_root(name)
    entry = await store.get(root)
    # From here on a flip to it that is still on its way fails.
    await store.commit(Put(root, _DOOMED, entry.version))
    for folder in await store.children(root):
        path = f"{root}/{folder}"
        await _remove_below(store, path, levels=2 if path == Paths(root).nodes else 1)
        await fill(store, [Delete(path, (await store.get(path)).version)])
    await store.commit(Delete(root, entry.version + 1))


async def _remove_below(store: Store, path: str, levels: int) -> None:
    paths = [f"{path}/{name}" for name in await store.children(path)]
    if levels > 1:
        for one in paths:
            await _remove_below(store, one, levels - 1)
    for start in range(0, len(paths), _MOST_OPERATIONS):
        some = paths[start : start + _MOST_OPERATIONS]
        found = zip(some, await store.get_many(some), strict=True)
        await fill(store, [Delete(one, entry.version) for one, entry in found if entry is not None])


async def _names(store: Store) -> list[str]:
    return [name for name in await store.children(BASE) if name.isascii() and name.isdigit()]


def _is_complete(entry: Entry) -> bool:
    return entry.value not in (b"", _DOOMED)


def _batches(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    batch: list[Operation] = []
    size = 0
    for operation in operations:
        more = len(operation.path) + len(getattr(operation, "value", b"")) + 64
        if batch and (size + more > _MOST_BYTES or len(batch) == _MOST_OPERATIONS):
            yield batch
            batch, size = [], 0
        batch.append(operation)
        size += more
    if batch:
        yield batch
