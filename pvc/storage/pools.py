"""The pools that the configuration names, itself or by a whole Ceph cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from pvc import cephconfig, config
from pvc.errors import Unavailable
from pvc.storage.base import Pools
from pvc.storage.directory import DirectoryPool, open_directory

if TYPE_CHECKING:
    from pvc.storage.administration import Administration
    from pvc.storage.rbd import RBDPool


async def open_pools(pools: Mapping[str, config.AnyPool], ceph: cephconfig.Ceph | None = None) -> Pools:
    """Open all, or none: raises the first Unavailable after closing what was open."""
    async with AsyncExitStack() as undo:
        opened = Pools()
        for name, settings in pools.items():
            opened[name] = await _open(name, settings)
            undo.push_async_callback(opened[name].aclose)
        if ceph is not None and ceph.conf:
            with _bindings():
                from pvc.storage.cephpools import open_cluster
            opened = await open_cluster(ceph, opened)
        undo.pop_all()
        return opened


async def open_administration(ceph: cephconfig.Ceph) -> Administration | None:
    """None without a Ceph cluster. Raises Unavailable."""
    if not ceph.conf:
        return None
    with _bindings():
        from pvc.storage import cephadmin
    return await cephadmin.open_administration(ceph)


async def _open(name: str, settings: config.AnyPool) -> DirectoryPool | RBDPool:
    match settings:
        case config.DirectoryPool():
            return await open_directory(name, Path(settings.path))
        case cephconfig.RBDPool():
            with _bindings():
                from pvc.storage.rbd import open_rbd
            return await open_rbd(name, settings)
        case _:
            assert_never(settings)


@contextmanager
def _bindings() -> Iterator[None]:
    try:
        yield
    except ImportError as exc:
        raise Unavailable(what="Ceph", reason=f"{exc} (on Debian: apt-get install librados2 librbd1)") from exc
