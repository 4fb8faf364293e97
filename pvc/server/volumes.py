"""/storage/ceph/volume: the established paths, whatever keeps the disks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from pvc.cluster import growth, leftovers, tasks, volumes
from pvc.cluster.state import State
from pvc.cluster.tasks import Running
from pvc.errors import AlreadyExists, InvalidInput, NotFound
from pvc.model.names import problem_with
from pvc.model.records import Task
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.parse import Nothing, need_name
from pvc.server.parts import POOLS, message, who
from pvc.server.rules import Size, VolumeName
from pvc.server.session import state_of
from pvc.server.working import Done, Waited, answer, in_background, new_task, note_bug
from pvc.storage.base import Pool, Volume
from pvc.units import format_size, parse_size

endpoints = Endpoints()

# What a running guest's node may take to grow a volume before the one who asked is told that it goes on without him.
_RESIZE_S = 60.0


class ListQuery(msgspec.Struct):
    limit: Limit | None = None
    pool: str | None = None


class Add(msgspec.Struct):
    volume: VolumeName
    pool: str
    size: Size


class OfSize(msgspec.Struct):
    size: Size


class Change(Waited):
    """force: allow the volume to become smaller, losing its end. wait: for a new size."""

    new_size: Size | None = None
    new_name: VolumeName | None = None
    force: bool = False


class Clone(Waited, kw_only=True):
    new_volume: VolumeName


async def pool_in(request: web.Request) -> Pool:
    """The pool of the path. Raises NotFound."""
    return await volumes.pool_of(request.app[POOLS], request.match_info["pool"])


def volume_in(request: web.Request) -> str:
    """The volume name of the path: one that cannot exist is not found."""
    name = request.match_info["volume"]
    if problem_with("volume", name):
        raise NotFound(kind="volume", name=f"{request.match_info['pool']}/{name}")
    return name


@endpoints.get("/storage/ceph/volume", "Volumes.", ListQuery, answer=Answer.LIST)
async def list_volumes(request: web.Request, query: ListQuery) -> web.Response:
    pools = request.app[POOLS]
    chosen = [await volumes.pool_of(pools, query.pool)] if query.pool is not None else await volumes.all_pools(pools)
    fits = matcher(query.limit)
    shown = [
        volume_object(pool.name, volume) for pool in chosen for volume in await pool.volumes() if fits(volume.name)
    ]
    return web.json_response(shown)


@endpoints.get("/storage/ceph/volume/{pool}/{volume}", "One volume, as a list of one.", answer=Answer.LIST)
async def get_volume(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    pool = await pool_in(request)
    return web.json_response([volume_object(pool.name, await pool.volume(volume_in(request)))])


def volume_object(pool: str, volume: Volume) -> dict[str, Any]:
    stats = {
        "name": volume.name,
        "id": volume.name,
        "size": format_size(volume.size),
        "size_bytes": volume.size,
        "used_bytes": volume.used,
        "snapshot_count": volume.snapshots,
        "create_timestamp": _time(volume.created_at),
        "modify_timestamp": _time(volume.modified_at),
    }
    return {"name": volume.name, "pool": pool, "stats": stats, "problem": volume.problem}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else ""


@endpoints.post("/storage/ceph/volume", "Add an empty volume.", Add)
async def add_volume(request: web.Request, given: Add) -> web.Response:
    pool = await volumes.pool_of(request.app[POOLS], given.pool)
    return await _add(request, pool, given.volume, given.size)


@endpoints.post("/storage/ceph/volume/{pool}/{volume}", "Add an empty volume.", OfSize)
async def add_volume_by_path(request: web.Request, given: OfSize) -> web.Response:
    return await _add(request, await pool_in(request), need_name("volume", request.match_info["volume"]), given.size)


async def _add(request: web.Request, pool: Pool, name: str, size: str) -> web.Response:
    length = parse_size(size)
    async with volumes.reserved_new(state_of(request), pool.name, name, "the making of the volume"):
        volume = await pool.create(name, length)
    return message(f'Created volume "{name}" of size "{format_size(volume.size)}" in pool "{pool.name}".')


@endpoints.put("/storage/ceph/volume/{pool}/{volume}", "Resize or rename a volume.", Change)
async def change_volume(request: web.Request, given: Change) -> web.Response:
    pool, name = await pool_in(request), volume_in(request)
    if (given.new_size is None) == (given.new_name is None):
        raise InvalidInput({"new_size": 'or "new_name" must be given, and not both'})
    if given.new_size is not None:
        return await _resize(request, pool, name, parse_size(given.new_size), given)
    new_name, state = given.new_name or "", state_of(request)
    async with _reserved_both(state, pool, name, new_name, "a change of the volume"):
        await volumes.check_unused(state, f"{pool.name}/{name}")
        await pool.rename(name, new_name)
    return message(f'Renamed volume "{name}" to "{new_name}" in pool "{pool.name}".')


async def _resize(request: web.Request, pool: Pool, name: str, size: int, given: Change) -> web.Response:
    """Where a running guest has the volume, the task is its node's."""
    state = state_of(request)
    if growing := await growth.entrusted(state, pool, name, size, who(request)):
        return await _growing(request, pool, name, growing, wait=given.wait)
    task = new_task(request, leftovers.RESIZE, ("volume", f"{pool.name}/{name}"), name, phase="resizing")

    async def resize(_running: Running, _held: None) -> Done:
        return Done(_resized(pool, await pool.resize(name, size, shrink=given.force)))

    holding = growth.reserved_resizable(state, pool, name, size, shrink=given.force, holder=leftovers.holder(task))
    doing = _resizing(pool, name)
    return await answer(request, task, holding, resize, wait=given.wait, doing=doing)


async def _growing(request: web.Request, pool: Pool, name: str, task: Task, *, wait: bool) -> web.Response:
    """The volume is looked at afterwards, also where nobody waits: lists show what was seen last."""
    state = state_of(request)

    async def grown() -> Volume:
        await tasks.wait(state, task.id, _RESIZE_S)
        return await pool.volume(name)

    looking = in_background(request.app, grown())
    if wait:
        return message(_resized(pool, await asyncio.shield(looking)))
    looking.add_done_callback(note_bug)
    return message(_resizing(pool, name), task=task.id)


def _resizing(pool: Pool, name: str) -> str:
    return f'Resizing volume "{name}" in pool "{pool.name}".'


def _resized(pool: Pool, volume: Volume) -> str:
    return f'Resized volume "{volume.name}" to size "{format_size(volume.size)}" in pool "{pool.name}".'


@endpoints.delete("/storage/ceph/volume/{pool}/{volume}", "Remove a volume with its content.", Waited)
async def remove_volume(request: web.Request, given: Waited) -> web.Response:
    pool, name = await pool_in(request), volume_in(request)
    task = new_task(request, leftovers.REMOVAL, ("volume", f"{pool.name}/{name}"), name, phase="removing")

    async def remove(running: Running, _held: None) -> Done:
        await pool.remove(name, partial(running.report, "removing"))
        return Done(f'Removed volume "{name}" in pool "{pool.name}".')

    holding = volumes.reserved_removable(state_of(request), pool, name, leftovers.holder(task))
    doing = f'Removing volume "{name}" in pool "{pool.name}".'
    return await answer(request, task, holding, remove, wait=given.wait, doing=doing)


@endpoints.post("/storage/ceph/volume/{pool}/{volume}/clone", "Copy a volume.", Clone)
async def clone_volume(request: web.Request, given: Clone) -> web.Response:
    pool, name, new_name = await pool_in(request), volume_in(request), given.new_volume
    task = new_task(request, leftovers.CLONE, ("volume", f"{pool.name}/{name}"), name, phase="copying")

    async def copy(running: Running, _held: None) -> Done:
        await pool.clone(name, new_name, partial(running.report, "copying"))
        return Done(f'Cloned volume "{name}" to "{new_name}" in pool "{pool.name}".')

    holding = _clonable(state_of(request), pool, name, new_name, leftovers.holder(task))
    doing = f'Cloning volume "{name}" to "{new_name}" in pool "{pool.name}".'
    return await answer(request, task, holding, copy, wait=given.wait, doing=doing, named=True)


@asynccontextmanager
async def _clonable(state: State, pool: Pool, name: str, new_name: str, holder: str) -> AsyncIterator[None]:
    """Raises NotFound, AlreadyExists, Busy, InUse."""
    async with _reserved_both(state, pool, name, new_name, holder):
        await volumes.check_closed(pool, name)
        yield


@asynccontextmanager
async def _reserved_both(state: State, pool: Pool, name: str, new_name: str, holder: str) -> AsyncIterator[None]:
    """Hold a volume and a name that none has yet. Raises NotFound, AlreadyExists, Busy, InUse."""
    await pool.volume(name)
    with suppress(NotFound):
        await pool.volume(new_name)
        raise AlreadyExists(kind="volume", name=f"{pool.name}/{new_name}")
    async with (
        volumes.reserved(state, pool.name, name, holder),
        volumes.reserved_new(state, pool.name, new_name, holder),
    ):
        yield
