"""The pools of a whole Ceph cluster: each that is for RBD, as it comes and goes there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from pvc.cephconfig import Ceph
from pvc.model.names import problem_with
from pvc.storage.base import Pool, Pools
from pvc.storage.ceph import Connection
from pvc.storage.cephadmin import unavailable
from pvc.storage.rbd import open_rbd
from pvc.storage.threads import in_thread, to_the_end

log = logging.getLogger("pvc.storage")

_THREADS = 16  # they wait for Ceph


async def open_cluster(settings: Ceph, configured: Mapping[str, Pool]) -> CephPools:
    """Raises Unavailable when Ceph cannot be reached in time, or has no such user."""
    pools = CephPools(settings, await in_thread(Connection, settings, unavailable), configured)
    try:
        await pools.look()
    except BaseException:
        await pools.aclose()
        raise
    return pools


class CephPools(Pools):
    """Ceph is asked at each look, so that a pool is there for everybody as soon as it is there at all.

    One that was removed stays open until the end: a request may be in the middle of it.
    """

    def __init__(self, settings: Ceph, connection: Connection, configured: Mapping[str, Pool]) -> None:
        """configured: win over Ceph's where a name is the same."""
        super().__init__(configured)
        self._settings, self._connection = settings, connection
        self._configured = frozenset(configured)
        self._threads = ThreadPoolExecutor(_THREADS, "ceph-pools")
        self._ids: dict[str, int] = {}  # of Ceph's that are open: a name may come to mean another pool
        self._gone: list[Pool] = []
        self._turn = asyncio.Lock()
        self._looks = self._last = 0

    async def look(self, name: str = "") -> None:
        if name in self._configured:
            return
        self._looks += 1
        number = self._looks
        found = await to_the_end(asyncio.get_running_loop().run_in_executor(self._threads, self._found))
        async with self._turn:
            if number > self._last:  # else a later look has been here
                await self._take(found)
                self._last = number

    async def aclose(self) -> None:
        await super().aclose()
        for pool in self._gone:
            await pool.aclose()
        await in_thread(self._threads.shutdown)
        await in_thread(self._connection.close)

    def _found(self) -> dict[str, int]:
        """Blocks."""
        pools = self._connection.ask("osd pool ls", detail="detail")
        return {entry["pool_name"]: entry["pool_id"] for entry in pools if "rbd" in entry["application_metadata"]}

    async def _take(self, found: Mapping[str, int]) -> None:
        for name in [name for name, id_ in self._ids.items() if found.get(name) != id_]:
            self._gone.append(self.pop(name))
            del self._ids[name]
        for name in sorted(found.keys() - self._ids.keys() - self._configured):
            if problem := problem_with("pool", name):
                log.warning('Pool "%s" of Ceph is left out: its name %s', name, problem)
                continue
            self[name] = await open_rbd(name, self._settings.pool(name))
            self._ids[name] = found[name]
