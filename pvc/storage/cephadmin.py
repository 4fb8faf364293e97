"""Ceph's own administration, by commands to its monitors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from pvc.cephconfig import Ceph
from pvc.errors import AlreadyExists, CephRefused, NotFound, PVCError, Unavailable
from pvc.storage.administration import OSD, Administration, Check, Layout, OSDState
from pvc.storage.ceph import Connection
from pvc.storage.osds import joined
from pvc.storage.threads import in_thread, to_the_end

T = TypeVar("T")

_THREADS = 8  # they wait for Ceph


def unavailable(reason: str) -> PVCError:
    return Unavailable(what="Ceph", reason=reason)


async def open_administration(settings: Ceph) -> CephAdministration:
    """Raises Unavailable when Ceph cannot be reached in time, or has no such user."""
    return CephAdministration(await in_thread(Connection, settings.as_admin(), unavailable))


class CephAdministration(Administration):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._threads = ThreadPoolExecutor(_THREADS, "ceph-admin")

    async def health(self) -> list[Check]:
        found = (await self._run(self._connection.ask, "health"))["checks"]
        return [
            Check(name, one["severity"], one["summary"]["message"])
            for name, one in sorted(found.items())
            if not one.get("muted")
        ]

    async def status(self) -> str:
        return await self._run(self._connection.tell, "status")

    async def utilization(self) -> str:
        return await self._run(self._connection.tell, "df")

    async def create_pool(self, name: str, layout: Layout) -> None:
        await self._change(self._create_pool, name, layout)

    async def set_pgs(self, pool: str, pgs: int) -> None:
        await self._change(self._set, pool, pg_num=pgs, pgp_num=pgs)

    async def remove_pool(self, pool: str) -> None:
        await self._change(self._remove, pool)

    async def osds(self) -> list[OSD]:
        return await self._run(self._osds)

    async def osd_states(self) -> dict[int, OSDState]:
        dump = await self._run(self._connection.ask, "osd dump")
        return {entry["osd"]: OSDState(bool(entry["up"]), bool(entry["in"])) for entry in dump["osds"]}

    async def mark(self, osd: int, *, within: bool) -> None:
        if osd not in await self.osd_states():
            raise NotFound(kind="OSD", name=str(osd))
        await self._change(self._connection.ask, "osd in" if within else "osd out", ids=[str(osd)])

    async def flag(self, name: str, *, on: bool) -> None:
        await self._change(self._connection.ask, "osd set" if on else "osd unset", key=name)

    async def aclose(self) -> None:
        await in_thread(self._threads.shutdown)
        await in_thread(self._connection.close)

    async def _run(self, work: Callable[..., T], *args: object, **kwargs: object) -> T:
        loop = asyncio.get_running_loop()
        return await to_the_end(loop.run_in_executor(self._threads, partial(work, *args, **kwargs)))

    async def _change(self, work: Callable[..., object], *args: object, **kwargs: object) -> None:
        try:
            await self._run(work, *args, **kwargs)
        except Unavailable as exc:
            raise unavailable(f"{exc.fields['reason']}; what was asked may still come about") from exc

    def _create_pool(self, name: str, layout: Layout) -> None:
        """The application comes last: without it pvc does not take the pool for one of its own."""
        ask = self._connection.ask
        if name in (entry["pool_name"] for entry in ask("osd pool ls", detail="detail")):
            raise AlreadyExists(kind="pool", name=name)
        rule = {} if layout.tier == "default" else {"rule": self._rule(layout.tier)}
        pgs = {"pg_num": layout.pgs, "pgp_num": layout.pgs, "autoscale_mode": "warn"}  # else they would not stay
        ask("osd pool create", pool=name, pool_type="replicated", **pgs, **rule)
        try:
            self._set(name, size=layout.copies)
            self._set(name, min_size=layout.min_copies)
            ask("osd pool application enable", pool=name, app="rbd")
        except CephRefused:
            with suppress(CephRefused):  # removing may be forbidden there: what is left is none of pvc's
                self._remove(name)
            raise

    def _rule(self, tier: str) -> str:
        name = f"{tier}_tier"
        where = {"root": "default", "type": "host", "class": tier}
        self._connection.ask("osd crush rule create-replicated", name=name, **where)
        return name

    def _set(self, pool: str, **values: int) -> None:
        for name, value in values.items():
            sure = {"yes_i_really_mean_it": True} if name == "size" and value == 1 else {}
            self._connection.ask("osd pool set", pool=pool, var=name, val=str(value), **sure)

    def _remove(self, pool: str) -> None:
        self._connection.ask("osd pool rm", pool=pool, pool2=pool, yes_i_really_really_mean_it=True)

    def _osds(self) -> list[OSD]:
        ask = self._connection.ask
        return joined(
            ask("osd dump"), ask("osd metadata"), ask("osd df"), self._connection.tell("osd status", format="plain")
        )
