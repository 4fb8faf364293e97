"""Which generation of the state is in force, and the first one's making."""

from __future__ import annotations

import msgspec

from pvc.errors import AlreadyExists, Conflict, NotFound
from pvc.model.records import SCHEMA, Cluster, decode, encode
from pvc.store.base import Create, Store
from pvc.store.paths import BASE, CURRENT, Paths

_FIRST = "1"


class _Schema(msgspec.Struct):
    """The one field that every version of the record has, past and to come."""

    schema: int


async def open_generation(store: Store, new_id: str, now: float) -> tuple[Paths, Cluster]:
    """Return the generation in force; make the first one in an empty store. Several servers may do so at once.

    new_id: the cluster's id if it is made now. now: seconds since the epoch.
    Raises Conflict when a newer pvc wrote the store, Corrupt when the record cannot be read.
    """
    try:
        cluster = await _read(store)
    except NotFound:
        await _make_first(store, Cluster(schema=SCHEMA, id=new_id, generation=_FIRST, created_at=now))
        cluster = await _read(store)
    return Paths(f"{BASE}/{cluster.generation}"), cluster


async def _read(store: Store) -> Cluster:
    value = (await store.get(CURRENT)).value
    schema = decode(_Schema, value, CURRENT).schema
    if schema > SCHEMA:
        problem = f"was written by a newer pvc: it has schema {schema}, this pvc knows {SCHEMA}"
        raise Conflict(kind="store", name=CURRENT, problem=problem)
    return decode(Cluster, value, CURRENT)


async def _make_first(store: Store, cluster: Cluster) -> None:
    for folder in Paths(f"{BASE}/{cluster.generation}").folders:
        await store.ensure(folder)
    try:
        await store.commit(Create(CURRENT, encode(cluster)))
    except AlreadyExists:
        return  # another server was first: its record counts
