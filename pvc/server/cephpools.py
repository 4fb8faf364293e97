"""/storage/ceph/pool: every pool, whatever keeps it; Ceph's can be made, changed and removed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from aiohttp import web

from pvc.cluster import leftovers, volumes
from pvc.cluster.tasks import Running
from pvc.errors import AlreadyExists, Conflict, InvalidInput, PoolUnavailable
from pvc.model.records import Role
from pvc.server.cephstatus import ceph_of
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.parse import Nothing, need_name
from pvc.server.parts import CONFIG, POOLS, message
from pvc.server.rules import PoolName, Rule
from pvc.server.session import state_of
from pvc.server.volumes import pool_in
from pvc.server.working import Done, Waited, answer, new_task
from pvc.storage.administration import Layout
from pvc.storage.base import Pool, Statistics, Usage, Volume

endpoints = Endpoints()

_REPLICATION = re.compile(r"copies=([0-9]{1,2}),mincopies=([0-9]{1,2})")
_MOST_COPIES = 10  # Ceph's own limit


class Tier(StrEnum):
    HDD = "hdd"
    SSD = "ssd"
    NVME = "nvme"
    DEFAULT = "default"


class ListQuery(msgspec.Struct):
    limit: Limit | None = None


def _replication(text: str) -> tuple[int, int]:
    """Copies, and how many of them there must be to write. Raises ValueError with a phrase."""
    found = _REPLICATION.fullmatch(text)
    copies, least = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= least <= copies <= _MOST_COPIES:
        problem = f'must be written as "copies=3,mincopies=2", with at most {_MOST_COPIES} copies and no more mincopies'
        raise ValueError(problem)
    return copies, least


def _check_pgs(pgs: int) -> None:
    if pgs < 1 or pgs & (pgs - 1):
        raise ValueError("must be a power of 2")


PGs = Annotated[int, Rule(_check_pgs)]


class New(msgspec.Struct, kw_only=True):
    pgs: PGs
    replcfg: Annotated[str, Rule(_replication)]
    tier: Tier = Tier.DEFAULT


class Add(New, kw_only=True):
    pool: PoolName


class Change(msgspec.Struct):
    pgs: PGs


class Removal(Waited):
    """confirmed: must be "yes", unless it is a dry run, which only says what would be removed."""

    confirmed: str = msgspec.field(default="", name="yes-i-really-mean-it")
    dry_run: bool = False


@endpoints.get("/storage/ceph/pool", "Pools.", ListQuery, answer=Answer.LIST)
async def list_pools(request: web.Request, query: ListQuery) -> web.Response:
    fits = matcher(query.limit)
    pools = await volumes.all_pools(request.app[POOLS])
    here = request.app[CONFIG].agent.node_name
    return web.json_response([await _object(pool, here) for pool in pools if fits(pool.name)])


@endpoints.get("/storage/ceph/pool/{pool}", "One pool, as a list of one.", answer=Answer.LIST)
async def get_pool(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    return web.json_response([await _object(await pool_in(request), request.app[CONFIG].agent.node_name)])


async def _object(pool: Pool, here: str) -> dict[str, Any]:
    """A pool that does not answer is shown with its problem. node: the only one that can open its volumes."""
    try:
        seen, problem = await pool.statistics(), ""
    except PoolUnavailable as exc:
        seen, problem = Statistics(Usage(0, 0, 0), volumes=0, raw_used=0), str(exc)
    return {
        "name": pool.name,
        "volume_count": seen.volumes,
        "tier": seen.tier,
        "pgs": str(seen.pgs or ""),
        "shared": pool.capabilities.shared,
        "node": "" if pool.capabilities.shared else here,
        "stats": {
            "id": seen.id,
            "stored_bytes": seen.usage.used,
            "free_bytes": seen.usage.free,
            "used_bytes": seen.raw_used,
            "used_percent": seen.usage.used / seen.usage.total if seen.usage.total else 0.0,
            "total_bytes": seen.usage.total,
            **seen.counts,
        },
        "problem": problem,
    }


@endpoints.post("/storage/ceph/pool", "Make a pool in Ceph.", Add, role=Role.ADMIN)
async def add_pool(request: web.Request, given: Add) -> web.Response:
    return await _add(request, given.pool, given)


@endpoints.post("/storage/ceph/pool/{pool}", "Make a pool in Ceph.", New, role=Role.ADMIN)
async def add_pool_by_path(request: web.Request, given: New) -> web.Response:
    return await _add(request, need_name("pool", request.match_info["pool"]), given)


async def _add(request: web.Request, name: str, given: New) -> web.Response:
    """Answers when the pool can be used."""
    copies, min_copies = _replication(given.replcfg)
    layout = Layout(given.pgs, copies, min_copies, given.tier)
    ceph = ceph_of(request)
    if name in request.app[CONFIG].pools:
        raise AlreadyExists(kind="pool", name=name)
    async with volumes.pool_reserved(state_of(request), name, "another request to make it"):
        await ceph.create_pool(name, layout)
    await volumes.pool_of(request.app[POOLS], name)
    return message(f'Created RBD pool "{name}" with {given.pgs} PGs.')


@endpoints.put("/storage/ceph/pool/{pool}", "Set the placement groups of a pool.", Change, role=Role.ADMIN)
async def change_pool(request: web.Request, given: Change) -> web.Response:
    pool = await _ceph_pool_in(request)
    await ceph_of(request).set_pgs(pool.name, given.pgs)
    return message(f'Set PGs count to {given.pgs} for RBD pool "{pool.name}".')


@endpoints.delete("/storage/ceph/pool/{pool}", "Remove a pool with its volumes.", Removal, role=Role.ADMIN)
async def remove_pool(request: web.Request, given: Removal) -> web.Response:
    """Refused while a VM has a volume of it, or anybody else has one open or busy."""
    if not given.dry_run and given.confirmed != "yes":
        raise InvalidInput({"yes-i-really-mean-it": 'must be "yes"'})
    pool, ceph = await _ceph_pool_in(request), ceph_of(request)
    task = new_task(request, leftovers.REMOVAL, ("pool", pool.name), pool.name, phase="removing")
    holding = volumes.reserved_unused_pool(state_of(request), pool, leftovers.holder(task))
    if given.dry_run:
        async with holding as inside:
            would = _removed("Would remove", pool, inside)
        return message(would.sentence, **would.more)

    async def remove(_running: Running, inside: Sequence[Volume]) -> Done:
        await ceph.remove_pool(pool.name)
        return _removed("Removed", pool, inside)

    return await answer(request, task, holding, remove, wait=given.wait, doing=f'Removing RBD pool "{pool.name}".')


def _removed(verb: str, pool: Pool, inside: Sequence[Volume]) -> Done:
    sentence = f'{verb} RBD pool "{pool.name}" and {_count(len(inside))}.'
    return Done(sentence, {"volumes": [volume.name for volume in inside]})


def _count(number: int) -> str:
    return f"its {number} volumes" if number > 1 else "its only volume" if number else "no volumes"


async def _ceph_pool_in(request: web.Request) -> Pool:
    """Raises NotFound, Conflict for a pool that the configuration names."""
    pool = await pool_in(request)
    if pool.name in request.app[CONFIG].pools:
        raise Conflict(kind="pool", name=pool.name, problem="is one of the configuration, and only changed there")
    return pool
