"""The bridges of this node that NICs join."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from pvc.agent.settings import Settings
from pvc.errors import Conflict
from pvc.model.domain import Nic


async def check(settings: Settings, nics: Iterable[Nic]) -> None:
    """Raises Conflict where one that a NIC joins is not there: libvirt would say so of its own devices."""
    for nic in nics:
        if nic.type == "bridge" and not await asyncio.to_thread((Path(settings.links_path) / nic.source).exists):
            raise Conflict(kind="node", name=settings.node, problem=f'has no bridge "{nic.source}"')
