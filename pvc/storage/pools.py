"""The pools that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from pvc import config
from pvc.errors import Unavailable
from pvc.storage.directory import DirectoryPool, open_directory

if TYPE_CHECKING:
    from pvc.storage.rbd import RBDPool


async def open_pools(pools: Mapping[str, config.AnyPool]) -> dict[str, DirectoryPool | RBDPool]:
    """Open all, or none: raises the first PoolUnavailable after closing what was open."""
    async with AsyncExitStack() as undo:
        opened = {}
        for name, settings in pools.items():
            opened[name] = await _open(name, settings)
            undo.push_async_callback(opened[name].aclose)
        undo.pop_all()
        return opened


async def _open(name: str, settings: config.AnyPool) -> DirectoryPool | RBDPool:
    match settings:
        case config.DirectoryPool():
            return await open_directory(name, Path(settings.path))
        case config.RBDPool():
            try:
                from pvc.storage.rbd import open_rbd
            except ImportError as exc:
                raise Unavailable(what="Ceph", reason=f"{exc} (on Debian: apt-get install librados2 librbd1)") from exc
            return await open_rbd(name, settings)
        case _:
            assert_never(settings)
