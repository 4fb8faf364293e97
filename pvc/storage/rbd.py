"""A pool in Ceph: volumes are RBD images, reached through librados and librbd. What is there is in rbdimages.py."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from pvc.cephconfig import RBDPool as Settings
from pvc.errors import PVCError
from pvc.storage.base import Capabilities, Draft, RBDSource, Secret
from pvc.storage.ceph import Cluster, ceph_errors, deadlines
from pvc.storage.checks import check_name
from pvc.storage.draft import Target
from pvc.storage.rbddraft import Location, ObjectMap, RBDDraft
from pvc.storage.rbdhidden import Hidden, volume_of
from pvc.storage.rbdimages import Images, Version
from pvc.storage.threaded import ThreadedPool
from pvc.storage.threads import in_thread

log = logging.getLogger("pvc.storage")

_THREADS = 16  # they wait for Ceph more than they work
_REMOVALS_AT_ONCE = 2
# The share of a volume that has to be written for a map of its objects to be cheaper at the end: to look for an object
# takes a sixth of what it takes to note one that is being written.
_DENSE = 1 / 6


async def open_rbd(name: str, settings: Settings) -> RBDPool:
    """Connect. Raises PoolUnavailable when Ceph cannot be reached in time, or has no such pool or user."""
    return RBDPool(Images(await in_thread(Cluster, name, settings)))


class RBDPool(ThreadedPool):
    """Pool, Snapshots and Locks in one.

    Content that was replaced is removed while nobody waits: that takes the longer the more it is.
    """

    def __init__(self, images: Images) -> None:
        super().__init__(images, _THREADS, ceph_errors)
        self._removing = ThreadPoolExecutor(_REMOVALS_AT_ONCE, f"removals-{images.pool}")
        self._removals: dict[str, Future[None]] = {}  # by image
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
    async def draft(self, name: str, expected: int | None = None) -> AsyncIterator[Draft]:
        await self._removed(name)  # it would hold the old content twice
        began = await self._change(partial(self._images.version, name), name)

        async def put(hidden: Hidden) -> None:
            await self._change(partial(self._replace, name, hidden, began), name)

        target = Target(pool=self.name, name=name, length=began[1], limit=began[1])
        dense = expected is not None and expected >= target.length * _DENSE
        object_map = ObjectMap.AT_THE_END if dense else ObjectMap.FROM_THE_START
        async with self._drafting(self._draft(target, put, object_map)) as draft:
            yield draft

    @asynccontextmanager
    async def scratch(self, name: str, size: int) -> AsyncIterator[Draft]:
        async def put(hidden: Hidden) -> None:
            raise TypeError("scratch space is no volume's content")

        target = Target(pool=self.name, name=name, length=0, limit=size)
        async with self._drafting(self._draft(target, put, ObjectMap.NEVER)) as draft:
            yield draft

    def _replace(self, name: str, hidden: Hidden, began: Version) -> None:
        """Blocks."""
        if old := self._images.replace(name, hidden, began):
            self._remove_later(old)

    def _draft(self, target: Target, put: Callable[[Hidden], Awaitable[None]], object_map: ObjectMap) -> RBDDraft:
        return RBDDraft(self._images, target, self._location, self._run, put, object_map)

    async def unfinished(self) -> Mapping[str, str]:
        """Without what this process is removing."""
        ours = set(self._removals)  # before: one that ends meanwhile may still be in the list
        found = await super().unfinished()
        return {image: volume for image, volume in found.items() if image not in ours | set(self._removals)}

    async def remove_orphans(self, among: Collection[str] | None = None) -> Sequence[str]:
        left = await self.unfinished()
        return await super().remove_orphans([image for image in left if among is None or image in among])

    async def aclose(self) -> None:
        await in_thread(self._removing.shutdown)
        await super().aclose()

    async def _removed(self, volume: str) -> None:
        """Return when what this process was removing of the volume is gone or left as an orphan."""
        if removals := [one for image, one in list(self._removals.items()) if volume_of(image) == volume]:
            await asyncio.wait(map(asyncio.wrap_future, removals))

    def _remove_later(self, image: str) -> None:
        """On any thread."""
        removal = self._removals[image] = self._removing.submit(self._remove_hidden, image)
        removal.add_done_callback(lambda _: self._removals.pop(image, None))

    def _remove_hidden(self, image: str) -> None:
        try:
            with ceph_errors(self.name):
                self._images.drop(image)
        except PVCError as exc:
            log.warning('"%s" in pool "%s" is removed later: %s', image, self.name, exc)
