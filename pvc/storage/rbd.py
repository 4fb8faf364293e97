"""A pool in Ceph: volumes are RBD images, reached through librados and librbd. What is there is in rbdimages.py."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from pvc.cephconfig import RBDPool as Settings
from pvc.storage.base import Capabilities, Draft, RBDSource, Secret
from pvc.storage.ceph import Cluster, ceph_errors, deadlines
from pvc.storage.checks import check_name
from pvc.storage.draft import Target
from pvc.storage.rbddraft import Location, RBDDraft
from pvc.storage.rbdhidden import Hidden
from pvc.storage.rbdimages import Images
from pvc.storage.threaded import ThreadedPool
from pvc.storage.threads import in_thread

_THREADS = 16  # they wait for Ceph more than they work


async def open_rbd(name: str, settings: Settings) -> RBDPool:
    """Connect. Raises PoolUnavailable when Ceph cannot be reached in time, or has no such pool or user."""
    return RBDPool(Images(await in_thread(Cluster, name, settings)))


class RBDPool(ThreadedPool):
    """Pool, Snapshots and Locks in one."""

    def __init__(self, images: Images) -> None:
        super().__init__(images, _THREADS, ceph_errors)
        self._images, self._cluster = images, images.cluster
        settings = self._cluster.settings
        files = {"conf": settings.conf, "keyring": self._cluster.keyring}
        options = {"id": settings.user, **files, **deadlines(settings)}
        self._location = Location(settings.pool, options, tuple(file for file in files.values() if file))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=True, live_snapshots=True)

    def source(self, name: str) -> RBDSource:
        check_name("volume", name)
        settings = self._cluster.settings
        return RBDSource(settings.pool, name, self._cluster.monitors, settings.user, self._secret_uuid)

    async def secret(self) -> Secret:
        key = await self._run(self._cluster.key)
        return Secret(self._secret_uuid, f"client.{self._cluster.settings.user} of Ceph {self._cluster.fsid}", key)

    @property
    def _secret_uuid(self) -> str:
        """The same on every node, and for all pools of one cluster and user."""
        return str(uuid.uuid5(self._cluster.fsid, f"client.{self._cluster.settings.user}"))

    @asynccontextmanager
    async def draft(self, name: str) -> AsyncIterator[Draft]:
        began = await self._change(partial(self._images.version, name), name)

        async def put(hidden: Hidden) -> None:
            await self._change(partial(self._images.replace, name, hidden, began), name)

        target = Target(pool=self.name, name=name, length=began[1], limit=began[1])
        async with self._drafting(RBDDraft(self._images, target, self._location, self._run, put)) as draft:
            yield draft

    @asynccontextmanager
    async def scratch(self, name: str, size: int) -> AsyncIterator[Draft]:
        async def put(hidden: Hidden) -> None:
            raise TypeError("scratch space is no volume's content")

        target = Target(pool=self.name, name=name, length=0, limit=size)
        async with self._drafting(RBDDraft(self._images, target, self._location, self._run, put)) as draft:
            yield draft
