"""ZooKeeper's records that somebody else takes over while a session is open: unavailable, and ours again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from kazoo.security import make_digest_acl

from pvc.errors import StoreUnavailable
from pvc.store.base import Create, Put, Store
from pvc.store.clustered import ClusteredSource
from pvc.store.paths import LOCKS
from tests.contract.store.harness import PASSWORD, USER, clustered
from tests.contract.store.test_strangers import client
from tests.parts.zookeeper import ZooKeeper

pytestmark = pytest.mark.real

PATHS = FOLDER, RECORD = "/pvc/vms", "/pvc/vms/a"


@pytest.fixture
async def store(own_zookeeper: ZooKeeper) -> AsyncIterator[Store]:
    source: ClusteredSource = clustered([own_zookeeper.address], 10.0)
    store = await source.session()
    await store.ensure(FOLDER)
    await store.commit(Create(RECORD))
    yield store
    await source.aclose()


def give(server: ZooKeeper, giver: tuple[str, str], taker: tuple[str, str], paths: Sequence[str] = PATHS) -> None:
    with client(server, *giver) as owner:
        for path in paths:
            owner.set_acls(path, [make_digest_acl(*taker, all=True)])


US, OTHERS = (USER, PASSWORD), ("eve", "eve")


async def test_what_is_taken_away_is_not_available(own_zookeeper: ZooKeeper, store: Store) -> None:
    await asyncio.to_thread(give, own_zookeeper, US, OTHERS)
    async with store.follow() as following:
        for followed in (following.entries([RECORD]), following.lists([FOLDER])):
            with pytest.raises(StoreUnavailable):
                await followed
    asked = (
        store.get(RECORD),
        store.get_many([RECORD]),
        store.children(FOLDER),
        store.commit(Put(RECORD, b"x", 0)),
        store.ensure(f"{FOLDER}/b"),
    )
    for question in asked:
        with pytest.raises(StoreUnavailable, match=r'does not let this pvc use "/pvc/vms'):
            await question


async def test_a_lock_that_cannot_be_written_is_not_held(own_zookeeper: ZooKeeper, store: Store) -> None:
    await store.ensure(LOCKS)
    await asyncio.to_thread(give, own_zookeeper, US, OTHERS, (LOCKS,))
    with pytest.raises(StoreUnavailable):
        async with store.lock("a", "a test"):
            pass


async def test_a_watch_waits_for_what_it_may_not_see(own_zookeeper: ZooKeeper, store: Store) -> None:
    async with store.watch(children=[FOLDER]) as watch:
        waiting = asyncio.create_task(watch.wait())
        with client(own_zookeeper, *US) as owner:
            owner.create(f"{FOLDER}/b")
            owner.set_acls(FOLDER, [make_digest_acl(*OTHERS, all=True)])
        await asyncio.to_thread(give, own_zookeeper, OTHERS, US, (FOLDER,))
        await waiting
