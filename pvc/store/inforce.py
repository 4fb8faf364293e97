"""A session in one generation of the records: what it changes counts only while that generation is in force.

Every change carries a check of CURRENT, so none is lost in a generation that was left meanwhile; and once another
generation is in force the session ends, so that servers and agents begin anew in that one by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec.structs import replace

from pvc.errors import Changed, PVCError, SessionLost, StoreUnavailable
from pvc.model.records import Cluster, encode
from pvc.store.base import Check, Entry, Following, Operation, Put, Store, Watch
from pvc.store.generation import read_current
from pvc.store.paths import CURRENT, STANDSTILL, generation_root, lock_path

log = logging.getLogger("pvc.store")

# Seconds that a change waits for a standstill to end, and between two tries to hear of a new generation.
_WAIT_S = 10.0
_RETRY_S = 0.5


class InForce:
    """What Store promises. cluster: what CURRENT held when the session began."""

    def __init__(self, store: Store, cluster: Cluster) -> None:
        self._store = store
        self._generation = cluster.generation
        self._version: int | None = None  # of CURRENT, as far as changes may be made at it
        self._watching = asyncio.create_task(self._end_with_generation())

    @property
    def lost(self) -> asyncio.Event:
        return self._store.lost

    @property
    def revision(self) -> int:
        return self._store.revision

    async def get(self, path: str) -> Entry:
        return await self._store.get(path)

    async def get_many(self, paths: Sequence[str]) -> list[Entry | None]:
        return await self._store.get_many(paths)

    async def children(self, path: str) -> list[str]:
        return await self._store.children(path)

    async def sync(self) -> None:
        await self._store.sync()

    async def ensure(self, path: str) -> None:
        await self._store.ensure(path)

    async def commit(self, *operations: Operation) -> None:
        """Raises SessionLost when another generation is in force, StoreUnavailable when a standstill lasts."""
        while operations:
            version = self._version if self._version is not None else await self._admitted()
            try:
                await self._store.commit(Check(CURRENT, version), *operations)
            except Changed as exc:
                if exc.fields["name"] != CURRENT:
                    raise
                self._version = None
            else:
                return

    def watch(self, *paths: str, children: Sequence[str] = ()) -> AbstractAsyncContextManager[Watch]:
        return self._store.watch(*paths, children=children)

    def follow(self) -> AbstractAsyncContextManager[Following]:
        return self._store.follow()

    def lock(self, name: str, holder: str) -> AbstractAsyncContextManager[None]:
        return self._store.lock(name, holder)

    async def locks(self) -> Mapping[str, str]:
        return await self._store.locks()

    async def aclose(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._store.aclose()

    @asynccontextmanager
    async def standing_still(self, holder: str) -> AsyncIterator[Standstill]:
        """Meanwhile nobody changes a record of this generation; who wants to waits. For moments only.

        holder: who, unlike any other. It ends with this session if not before. Raises Busy while another one lasts.
        """
        async with self._store.lock(STANDSTILL, holder):
            entry, found = await self._current()
            cluster = replace(found, still="")
            await self._store.commit(Put(CURRENT, encode(replace(cluster, still=holder)), entry.version))
            still = Standstill(self._store, cluster, entry.version + 1)
            try:
                yield still
            finally:
                await asyncio.shield(still.end())

    async def _current(self) -> tuple[Entry, Cluster]:
        """Raises SessionLost when another generation is in force."""
        entry, cluster = await read_current(self._store)
        if cluster.generation != self._generation:
            raise SessionLost(reason=f'generation "{cluster.generation}" of its records is in force now')
        return entry, cluster

    async def _admitted(self) -> int:
        """Wait until nobody wants the generation to stand still. Returns the version of CURRENT."""
        try:
            async with asyncio.timeout(_WAIT_S), self._store.watch(CURRENT, lock_path(STANDSTILL)) as watch:
                while True:
                    entry, cluster = await self._current()
                    if not cluster.still or (await self._store.locks()).get(STANDSTILL) != cluster.still:
                        self._version = entry.version
                        return entry.version
                    await watch.wait()
        except TimeoutError as exc:
            raise StoreUnavailable(reason=f"it has been standing still for {_WAIT_S:g} s") from exc

    async def _end_with_generation(self) -> None:
        while not self.lost.is_set():
            try:
                async with self._store.watch(CURRENT) as watch:
                    while True:
                        await self._current()
                        await watch.wait()
            except SessionLost as exc:
                log.info("A session with the store ends: %s", exc.fields["reason"])
                break
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_S)
            except PVCError as exc:
                log.warning("A session with the store ends: %s", exc)
                break
        await self._store.aclose()


class Standstill:
    """store: by which records are written meanwhile. cluster: as it is in force."""

    def __init__(self, store: Store, cluster: Cluster, version: int) -> None:
        self.store, self.cluster = store, cluster
        self._version = version
        self._over = False

    async def flip(self, new: Cluster, *more: Operation) -> None:
        """Put generation `new` in force, whole and at once; it and the one before are marked as complete.

        more: what is to happen in the same moment, beside the generations.
        Raises StoreUnavailable when it cannot be known whether that happened.
        """
        marks = [
            Put(root, encode(cluster), (await self.store.get(root)).version)
            for cluster in (self.cluster, new)
            for root in (generation_root(cluster.generation),)
        ]
        try:
            await self.store.commit(*marks, *more, Put(CURRENT, encode(new), self._version))
        except StoreUnavailable:
            _, now = await read_current(self.store)  # only the answer may have been lost
            if now.generation != new.generation:
                raise
        self._over = True

    async def end(self) -> None:
        if self._over:
            return
        try:
            await self.store.commit(Put(CURRENT, encode(self.cluster), self._version))
        except PVCError as exc:  # it ends with its lock
            log.warning("A standstill of the store ends by itself: %s", exc)
