"""/storage/ceph/snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, cast

import msgspec
from aiohttp import web

from pvc.cluster import leftovers, volumes
from pvc.cluster.state import State
from pvc.cluster.tasks import Running
from pvc.errors import AlreadyExists, NotFound
from pvc.model.names import problem_with
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.parse import Nothing, need_name
from pvc.server.parts import POOLS, message
from pvc.server.rules import SnapshotName
from pvc.server.session import state_of
from pvc.server.volumes import pool_in, volume_in
from pvc.server.working import Done, Waited, answer, new_task
from pvc.storage.base import Pool, Snapshot, Snapshots

endpoints = Endpoints()

_ONE = "/storage/ceph/snapshot/{pool}/{volume}/{snapshot}"


class ListQuery(msgspec.Struct):
    pool: str | None = None
    volume: str | None = None
    limit: Limit | None = None


class Add(Waited, kw_only=True):
    snapshot: SnapshotName
    volume: str
    pool: str


class Rename(msgspec.Struct):
    new_name: SnapshotName


def _of(pool: Pool) -> Snapshots:
    """Every pool there is now can snapshot."""
    return cast("Snapshots", pool)


def _name_in(request: web.Request) -> str:
    name = request.match_info["snapshot"]
    if problem_with("snapshot", name):
        raise NotFound(kind="snapshot", name=name)
    return name


@endpoints.get("/storage/ceph/snapshot", "Snapshots of volumes.", ListQuery, answer=Answer.LIST)
async def list_snapshots(request: web.Request, query: ListQuery) -> web.Response:
    pools = request.app[POOLS]
    chosen = [await volumes.pool_of(pools, query.pool)] if query.pool is not None else await volumes.all_pools(pools)
    fits = matcher(query.limit)
    shown: list[dict[str, Any]] = []
    for pool in chosen:
        names = [volume.name for volume in await pool.volumes() if query.volume in (None, volume.name)]
        if query.volume is not None and query.pool is not None and not names:
            raise NotFound(kind="volume", name=f"{pool.name}/{query.volume}")
        for name in names:
            shown += [_object(pool.name, one) for one in await _of(pool).snapshots(name) if fits(one.name)]
    return web.json_response(shown)


@endpoints.get(_ONE, "One snapshot, as a list of one.", answer=Answer.LIST)
async def get_snapshot(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    pool, name = await pool_in(request), _name_in(request)
    found = [one for one in await _of(pool).snapshots(volume_in(request)) if one.name == name]
    if not found:
        raise NotFound(kind="snapshot", name=f"{pool.name}/{volume_in(request)}@{name}")
    return web.json_response([_object(pool.name, found[0])])


def _object(pool: str, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "pool": pool,
        "volume": snapshot.volume,
        "snapshot": snapshot.name,
        "size_bytes": snapshot.size,
        "created_at": snapshot.created_at,
    }


@endpoints.post("/storage/ceph/snapshot", "Take a snapshot of a volume.", Add)
async def add_snapshot(request: web.Request, given: Add) -> web.Response:
    pool = await volumes.pool_of(request.app[POOLS], given.pool)
    if problem_with("volume", given.volume):
        raise NotFound(kind="volume", name=f"{given.pool}/{given.volume}")
    return await _add(request, pool, given.volume, given.snapshot, wait=given.wait)


@endpoints.post(_ONE, "Take a snapshot of a volume.", Waited)
async def add_snapshot_by_path(request: web.Request, given: Waited) -> web.Response:
    name = need_name("snapshot", request.match_info["snapshot"])
    return await _add(request, await pool_in(request), volume_in(request), name, wait=given.wait)


async def _add(request: web.Request, pool: Pool, volume: str, name: str, *, wait: bool) -> web.Response:
    phase = "taking the snapshot"
    task = new_task(request, leftovers.SNAPSHOT, ("volume", f"{pool.name}/{volume}"), volume, phase=phase)

    async def take(running: Running, _held: None) -> Done:
        await _of(pool).snapshot(volume, name, partial(running.report, phase))
        return Done(f'Created snapshot "{name}" of volume "{volume}" in pool "{pool.name}".')

    holding = _takable(state_of(request), pool, volume, name, leftovers.holder(task))
    doing = f'Taking snapshot "{name}" of volume "{volume}" in pool "{pool.name}".'
    return await answer(request, task, holding, take, wait=wait, doing=doing)


@asynccontextmanager
async def _takable(state: State, pool: Pool, volume: str, name: str, holder: str) -> AsyncIterator[None]:
    """Raises Busy, NotFound, AlreadyExists, InUse."""
    async with volumes.reserved(state, pool.name, volume, holder):
        if await _has(pool, volume, name):
            raise AlreadyExists(kind="snapshot", name=f"{pool.name}/{volume}@{name}")
        if not pool.capabilities.live_snapshots:
            await volumes.check_closed(pool, volume)
        yield


async def _has(pool: Pool, volume: str, name: str) -> bool:
    """Raises NotFound for a volume that is absent."""
    return any(one.name == name for one in await _of(pool).snapshots(volume))


@asynccontextmanager
async def _there(
    reserved: AbstractAsyncContextManager[None], pool: Pool, volume: str, name: str
) -> AsyncIterator[None]:
    """With what is reserved for it, a snapshot that is there. Raises NotFound, Busy, InUse."""
    async with reserved:
        if not await _has(pool, volume, name):
            raise NotFound(kind="snapshot", name=f"{pool.name}/{volume}@{name}")
        yield


@endpoints.put(_ONE, "Rename a snapshot.", Rename)
async def rename_snapshot(request: web.Request, given: Rename) -> web.Response:
    pool, volume, name = await pool_in(request), volume_in(request), _name_in(request)
    await _of(pool).rename_snapshot(volume, name, given.new_name)
    return message(f'Renamed snapshot "{name}" to "{given.new_name}" for volume "{volume}" in pool "{pool.name}".')


@endpoints.delete(_ONE, "Remove a snapshot.", Waited)
async def remove_snapshot(request: web.Request, given: Waited) -> web.Response:
    """Whatever else goes on with the volume, as long as nobody removes the same one."""
    pool, volume, name = await pool_in(request), volume_in(request), _name_in(request)
    full = f"{pool.name}/{volume}@{name}"
    task = new_task(request, leftovers.REMOVAL, ("snapshot", full), f"{volume}@{name}", phase="removing")

    async def remove(_running: Running, _held: None) -> Done:
        await _of(pool).remove_snapshot(volume, name)
        return Done(f'Removed snapshot "{name}" of volume "{volume}" in pool "{pool.name}".')

    reserved = volumes.held(state_of(request), leftovers.lock_of(task), "snapshot", full, leftovers.holder(task))
    doing = f'Removing snapshot "{name}" of volume "{volume}" in pool "{pool.name}".'
    return await answer(request, task, _there(reserved, pool, volume, name), remove, wait=given.wait, doing=doing)


@endpoints.post(f"{_ONE}/rollback", "Bring a volume back to a snapshot.", Waited)
async def roll_back(request: web.Request, given: Waited) -> web.Response:
    pool, volume, name = await pool_in(request), volume_in(request), _name_in(request)
    task = new_task(request, leftovers.REVERT, ("volume", f"{pool.name}/{volume}"), volume, phase="rolling back")

    async def revert(running: Running, _held: None) -> Done:
        await _of(pool).roll_back(volume, name, partial(running.report, "rolling back"))
        return Done(f'Rolled volume "{volume}" in pool "{pool.name}" back to snapshot "{name}".')

    reserved = volumes.reserved_idle(state_of(request), pool, volume, leftovers.holder(task))
    doing = f'Rolling volume "{volume}" in pool "{pool.name}" back to snapshot "{name}".'
    return await answer(request, task, _there(reserved, pool, volume, name), revert, wait=given.wait, doing=doing)
