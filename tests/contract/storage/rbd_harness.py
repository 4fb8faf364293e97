"""A pool in a real Ceph, looked at and disturbed through a connection of the tests' own."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import rbd

from pvc import cephconfig
from pvc.storage.rbd import RBDPool, open_rbd
from pvc.storage.rbdhidden import HIDDEN
from pvc.units import MIB
from tests.parts.ceph import POOL, USER, Ceph


class RBDHarness:
    grain = 4 * MIB
    refuses_snapshots_in_use = False

    def __init__(self, ceph: Ceph) -> None:
        self.ceph = ceph
        self._ending = contextlib.ExitStack()
        self._pools: list[RBDPool] = []

    def settings(self, **changes: object) -> cephconfig.RBDPool:
        values = {"pool": POOL, "user": USER, "conf": str(self.ceph.conf), "keyring": str(self.ceph.keyring)}
        return cephconfig.RBDPool(**{**values, "list_age_s": 0.0, **changes})  # type: ignore[arg-type]

    async def open(self, **changes: object) -> RBDPool:
        pool = await open_rbd("local", self.settings(**changes))
        self._pools.append(pool)
        return pool

    def image(self, name: str, *, read_only: bool = False) -> rbd.Image:
        return rbd.Image(self.pool, name, read_only=read_only)

    def content(self, volume: str) -> bytes:
        with self.image(volume, read_only=True) as image:
            return image.read(0, image.size())

    def fill(self, volume: str, data: bytes, offset: int = 0) -> None:
        with self.image(volume) as image:
            image.write(data, offset)

    async def hidden(self) -> list[str]:
        await self.removed()
        return sorted(name for name in self.names() if name.startswith(HIDDEN))

    async def removed(self) -> None:
        """Return when no pool of ours is removing old content any more."""
        if removals := [one for pool in self._pools for one in list(pool._removals.values())]:
            await asyncio.wait(map(asyncio.wrap_future, removals))

    def names(self) -> list[str]:
        return [entry["name"] for entry in rbd.RBD().list2(self.pool)]

    def held(self, volume: str) -> AbstractContextManager[object]:
        return self.image(volume)

    def read(self, path: str) -> bytes:
        return self.content(_image_of(path))

    def write(self, path: str, data: bytes) -> None:
        self.fill(_image_of(path), data)

    def objects(self, name: str) -> int:
        """How many objects hold the image's data."""
        with self.image(name, read_only=True) as image:
            prefix = f"rbd_data.{image.id()}."
        return sum(1 for entry in self.pool.list_objects() if entry.key.startswith(prefix))

    def wait_for_room(self) -> None:
        """Return when the pool, full a moment ago, takes data again."""
        with self.ceph.admin() as cluster, contextlib.closing(cluster.open_ioctx(POOL)) as pool:
            pool.write_full("room", b"x")  # waits
            pool.remove_object("room")

    def __enter__(self) -> Self:
        cluster = self._ending.enter_context(self.ceph.admin())
        self.pool = self._ending.enter_context(contextlib.closing(cluster.open_ioctx(POOL)))
        self._ending.callback(self._empty)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._ending.close()

    def _empty(self) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(self._remove, self.names()))

    def _remove(self, name: str) -> None:
        with self.image(name) as image:
            for snapshot in list(image.list_snaps()):
                image.remove_snap(snapshot["name"])
        rbd.RBD().remove(self.pool, name)


def _image_of(path: str) -> str:
    return path.split(":")[1].partition("/")[2]
