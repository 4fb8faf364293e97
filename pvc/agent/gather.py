"""What guests use, asked for beside the loop: a QEMU that hangs must not hold up decisions about the others."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from pvc.errors import PVCError
from pvc.hypervisor.base import Hypervisor
from pvc.model.observing import Live
from pvc.model.records import NodeStatus, Use, encode


class Gatherer:
    """patience_s: how long one look waits for an answer."""

    def __init__(self, hypervisor: Hypervisor, patience_s: float) -> None:
        self._hypervisor = hypervisor
        self._patience_s = patience_s
        self._asked: asyncio.Task[dict[str, Use]] | None = None

    async def use(self) -> tuple[dict[str, Use], str]:
        """What each domain has used; nothing, and why, when it is not told in time. Never two questions at once."""
        if self._asked is None:
            self._asked = asyncio.create_task(self._hypervisor.use())
        await asyncio.wait({self._asked}, timeout=self._patience_s)
        if not self._asked.done():
            return {}, f"libvirt has not told within {self._patience_s:g} s what guests use: one may hang."
        asked, self._asked = self._asked, None
        try:
            return asked.result(), ""
        except PVCError as exc:
            return {}, f"What guests use is not told: {exc}"

    async def aclose(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)


def by_mac(use: Use, live: Live) -> Use:
    """NICs as the cluster names them; one that came since `live` was read is left out."""
    return replace(use, nics={live.macs[name]: nic for name, nic in use.nics.items() if name in live.macs})


def fitted(status: NodeStatus, limit: int) -> NodeStatus:
    """`status` without what guests use, and saying so, when its record would have more than `limit` bytes."""
    size = len(encode(status))
    if size <= limit:
        return status
    problem = f"What guests use is left out: with it the node's record would have {size} bytes, {limit} are the most."
    return replace(status, use={}, use_problem=problem)
