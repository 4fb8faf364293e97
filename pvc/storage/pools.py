"""The pools that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from pvc import config
from pvc.storage.directory import DirectoryPool, open_directory


async def open_pools(pools: Mapping[str, config.DirectoryPool]) -> dict[str, DirectoryPool]:
    """Open all, or none: raises the first PoolUnavailable after closing what was open."""
    async with AsyncExitStack() as undo:
        opened = {}
        for name, pool in pools.items():
            opened[name] = await open_directory(name, Path(pool.path))
            undo.push_async_callback(opened[name].aclose)
        undo.pop_all()
        return opened
