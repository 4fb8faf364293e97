"""What the contract suite needs to know of each store, and nothing more."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from kazoo.client import KazooClient

from pvc.store.access import Access
from pvc.store.base import Store
from pvc.store.clustered import ClusteredSource, ClusteredStore
from pvc.store.embedded import EmbeddedSource
from tests.parts.zookeeper import ZooKeeper

_roots = itertools.count(1)

USER, PASSWORD = "pvc", "opens-the-store"


def clustered(hosts: Sequence[str], timeout_s: float) -> ClusteredSource:
    """A cluster's store as its configuration should have it: closed to everybody else."""
    return ClusteredSource(hosts, timeout_s, Access(USER, PASSWORD))


class Harness(Protocol):
    """root: an existing, empty record that is this test's own."""

    root: str

    async def session(self) -> Store: ...

    async def lose(self, store: Store) -> None:
        """End the session against its owner's will; returns when the store itself knows it as ended."""
        ...

    async def aclose(self) -> None: ...


class EmbeddedHarness:
    """The embedded store loses a session only by its being closed."""

    def __init__(self, source: EmbeddedSource) -> None:
        self._source = source
        self.root = "/test"

    @classmethod
    async def open(cls, folder: Path) -> EmbeddedHarness:
        harness = cls(await EmbeddedSource.open(str(folder / "pvc.db")))
        await (await harness.session()).ensure(harness.root)
        return harness

    async def session(self) -> Store:
        return await self._source.session()

    async def lose(self, store: Store) -> None:
        await store.aclose()

    async def aclose(self) -> None:
        await self._source.aclose()


class ZooKeeperHarness:
    def __init__(self, server: ZooKeeper, timeout_s: float = 10.0) -> None:
        self._server = server
        self._source = clustered([server.address], timeout_s)
        self.root = f"/test-{next(_roots)}"

    @classmethod
    async def open(cls, server: ZooKeeper) -> ZooKeeperHarness:
        harness = cls(server)
        await (await harness.session()).ensure(harness.root)
        return harness

    async def session(self) -> Store:
        return await self._source.session()

    async def lose(self, store: Store) -> None:
        """A second client takes the session over and closes it: ZooKeeper then says "expired" to the first."""
        assert isinstance(store, ClusteredStore)
        own = store._link._client.client_id
        assert own is not None
        while not store.lost.is_set():
            await asyncio.to_thread(_close_session, self._server.address, own)
            with suppress(TimeoutError):  # the owner was faster and took its session back: once more
                await asyncio.wait_for(store.lost.wait(), 3)

    async def aclose(self) -> None:
        await self._source.aclose()


def _close_session(address: str, own: tuple[int, bytes]) -> None:
    second = KazooClient(address, 10.0, client_id=own)
    second.start()
    second.stop()
    second.close()
