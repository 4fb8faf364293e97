"""Which store is used, decided in one place."""

from __future__ import annotations

import asyncio

from pvc import config
from pvc.store.base import Source


async def open_source(cfg: config.Store) -> Source:
    """Open the store that `cfg` names. Imports sit in the arms: the one that is not used is not loaded.

    The embedded store is opened here; ZooKeeper is first spoken to by `session`.
    Raises StoreLocked, StoreUnavailable, ConfigProblems for the files that the configuration names.
    """
    if cfg.kind == "zookeeper":
        from pvc.store.access import read_access
        from pvc.store.clustered import ClusteredSource

        return ClusteredSource(cfg.hosts, cfg.session_timeout_s, await asyncio.to_thread(read_access, cfg))
    from pvc.store.embedded import EmbeddedSource

    return await EmbeddedSource.open(cfg.path)
