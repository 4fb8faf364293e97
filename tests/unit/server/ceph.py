"""Ceph's administration over folders: what was done is told by `acts`."""

from __future__ import annotations

from pathlib import Path

from pvc.errors import AlreadyExists, NotFound
from pvc.storage.administration import OSD, Administration, Check, Layout, OSDState
from pvc.storage.base import Pools
from pvc.storage.directory import open_directory


class FakeCeph(Administration):
    """One OSD, 0."""

    def __init__(self, folder: Path, pools: Pools) -> None:
        self._folder, self._pools = folder, pools
        self.acts: list[tuple[object, ...]] = []
        self.checks: list[Check] = []

    async def health(self) -> list[Check]:
        return self.checks

    async def status(self) -> str:
        return "health: HEALTH_OK\n"

    async def utilization(self) -> str:
        return "TOTAL 10 GiB\n"

    async def create_pool(self, name: str, layout: Layout) -> None:
        if name in self._pools:
            raise AlreadyExists(kind="pool", name=name)
        self._pools[name] = await open_directory(name, self._folder / name)
        self.acts.append(("create", name, layout))

    async def set_pgs(self, pool: str, pgs: int) -> None:
        self.acts.append(("pgs", pool, pgs))

    async def remove_pool(self, pool: str) -> None:
        await self._pools.pop(pool).aclose()
        self.acts.append(("remove", pool))

    async def osds(self) -> list[OSD]:
        return [OSD(0, "hv1", "/dev/sdb", "", {"up": 1, "in": 1})]

    async def osd_states(self) -> dict[int, OSDState]:
        return {0: OSDState(up=True, within=False)}

    async def mark(self, osd: int, *, within: bool) -> None:
        if osd != 0:
            raise NotFound(kind="OSD", name=str(osd))
        self.acts.append(("mark", osd, within))

    async def flag(self, name: str, *, on: bool) -> None:
        self.acts.append(("flag", name, on))

    async def aclose(self) -> None:
        pass
