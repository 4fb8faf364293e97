"""/names: what begins with some letters, for whoever is typing a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from heapq import nsmallest
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web

from pvc.cluster import volumes
from pvc.cluster.state import Held, MirrorView, Unreadable
from pvc.server.endpoints import Endpoints
from pvc.server.parts import POOLS
from pvc.server.session import state_of, view_of
from pvc.storage.base import Pool

R = TypeVar("R", bound=msgspec.Struct)

endpoints = Endpoints()

_MOST = 10_000


class Kind(StrEnum):
    VM = "vm"
    NODE = "node"
    NETWORK = "network"
    POOL = "pool"
    VOLUME = "volume"
    OVA = "ova"
    TAG = "tag"
    TASK = "task"


class Wanted(msgspec.Struct):
    """pool: whose volumes are named; without one they are named POOL/VOLUME. most: names in the answer."""

    kind: Kind = Kind.VM
    prefix: str = ""
    pool: str | None = None
    most: Annotated[int, msgspec.Meta(ge=1, le=_MOST)] = 200


@endpoints.get("/names", "The names of one kind that begin with a prefix, in their order.", Wanted)
async def list_names(request: web.Request, wanted: Wanted) -> web.Response:
    """A network goes by its VNI, an unreadable record by its key. more: whether there are more than the answer has."""
    found = {name for name in await _all(request, wanted) if name.startswith(wanted.prefix)}
    return web.json_response({"names": nsmallest(wanted.most, found), "more": len(found) > wanted.most})


async def _all(request: web.Request, wanted: Wanted) -> Iterable[str]:
    pools = request.app[POOLS]
    match wanted.kind:
        case Kind.POOL:
            return [pool.name for pool in await volumes.all_pools(pools)]
        case Kind.VOLUME if wanted.pool is not None:
            return await (await volumes.pool_of(pools, wanted.pool)).volume_names()
        case Kind.VOLUME:
            return await _in_pools(pools, wanted.prefix)
        case Kind.OVA:
            return _each(await state_of(request).ovas(), lambda ova: ova.name)
        case kind:
            return await _in_memory(await view_of(request), kind)


async def _in_pools(pools: Mapping[str, Pool], prefix: str) -> list[str]:
    """Only of the pools that the prefix leaves possible."""
    possible = [pool for pool in await volumes.all_pools(pools) if _agree(f"{pool.name}/", prefix)]
    return [f"{pool.name}/{name}" for pool in possible for name in await pool.volume_names()]


def _agree(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


async def _in_memory(view: MirrorView, kind: Kind) -> list[str]:
    match kind:
        case Kind.NODE:
            return _each(await view.nodes(), lambda node: node.name)
        case Kind.NETWORK:
            return _each(await view.networks(), lambda network: str(network.vni))
        case Kind.TASK:
            return _each(await view.tasks(), lambda task: task.id)
        case Kind.TAG:
            return [tag.name for item in await view.vms() if isinstance(item, Held) for tag in item.record.tags]
        case _:
            return _each(await view.vms(), lambda vm: vm.name)


def _each(items: Iterable[Held[R] | Unreadable], name: Callable[[R], str]) -> list[str]:
    return [item.key if isinstance(item, Unreadable) else name(item.record) for item in items]
