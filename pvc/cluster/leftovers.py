"""What servers that died left: tasks that nobody runs any more, and what they had not finished in pools.

Who changes a volume's content holds its lock. The lock ends with its holder's session, and every other server hears
of that; Ceph believes for a while longer that the dead one has its images open (docs/design/014).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from typing import cast

from pvc.cluster import appliances, ovas, tasks
from pvc.cluster.state import Held, State
from pvc.cluster.volumes import all_pools, lock_name, pool_of
from pvc.errors import Busy, Changed, NotFound, PVCError, SessionLost, Unavailable
from pvc.model import names
from pvc.model.records import Made, Task, TaskStatus
from pvc.storage.base import Pool, Snapshots
from pvc.store.paths import RECOVERY, lock_path

log = logging.getLogger("pvc.server")

UPLOAD, CLONE, DOWNLOAD = "upload", "clone", "download"
SNAPSHOT, REVERT, RESIZE, REMOVAL, DEFINITION = "snapshot", "revert", "resize", "removal", "definition"
# What goes on under the lock of its target, and ends with it; what of it leaves things as they were when it is cut off.
LOCKED = frozenset((UPLOAD, CLONE, SNAPSHOT, REVERT, RESIZE, REMOVAL, Made.RESTORE, Made.ROLLBACK))
STOPPABLE = frozenset((UPLOAD, CLONE, DOWNLOAD, SNAPSHOT, DEFINITION, Made.RESTORE, Made.ROLLBACK))

# Between two looks at the pools, and while something is left of somebody whom Ceph believes alive.
_LOOK_S = 60.0
_AGAIN_S = 3.0


def download_lock(task: Task) -> str:
    return f"download.{task.id}"


def lock_of(task: Task) -> str:
    """The lock of its target: of a volume, an OVA and a pool the one that others take too."""
    kind, name = task.target
    return RECOVERY if kind == "cluster" else f"{kind}.{name.replace('/', '.')}"


def holder(task: Task) -> str:
    """What its lock says while it goes on."""
    return f'{task.kind} "{task.id}"'


async def keep_clear(
    state: State, pools: Mapping[str, Pool], here: str, clock: Callable[[], float] = time.monotonic
) -> None:
    """Until the session ends, or this is cancelled. here: the node of this server. clock: monotonic seconds."""
    due = clock()
    while True:
        try:
            due = await _until_due(state, due, clock)
            due = clock() + (_AGAIN_S if await _sweep_all(state, pools, here) else _LOOK_S)
        except SessionLost:
            return
        except PVCError as exc:
            log.warning("What uploads left is not looked for now: %s", exc)
            due = clock() + _LOOK_S
            await asyncio.sleep(_AGAIN_S)


async def _until_due(state: State, due: float, clock: Callable[[], float]) -> float:
    """End what is abandoned until it is time to look at the pools; that is at once when an upload was abandoned."""
    alive: set[str] = set()
    while due > clock():
        watched = alive
        async with state.store.watch(*watched, children=[state.paths.tasks]) as watch:
            while due > clock():
                alive, ended = await end_abandoned(state)
                if ended:
                    return clock()
                if alive != watched:
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(due - clock()):
                        await watch.wait()
    return due


async def end_abandoned(state: State) -> tuple[set[str], int]:
    """Say of tasks that nobody runs that they have failed. Returns the locks of those that go on, and how many ended.

    The tasks are read before the locks, because one is taken before its task begins and released after its end.
    """
    running = await _running(state, LOCKED)
    held = await state.store.locks() if running else {}
    alive, ended = set[str](), 0
    for task in running:
        name = lock_of(task.record)
        if held.get(name) == holder(task.record):
            alive.add(lock_path(name))
        else:
            ended += await _end(state, task)
    return alive, ended


async def _running(state: State, kinds: Container[str]) -> list[Held[Task]]:
    return [
        held
        for held in await state.tasks()
        if isinstance(held, Held) and held.record.status is TaskStatus.RUNNING and held.record.kind in kinds
    ]


async def _end(state: State, held: Held[Task]) -> bool:
    """Whether it was us: its own server or another one may have been faster."""
    what = f'The server on "{held.record.node}"'
    reason = Unavailable(what=what, reason=f"it ended, or lost the cluster store, during the {held.record.kind}")
    if not await _write_end(state, held, tasks.failed(held.record, reason)):
        return False
    log.info('The %s "%s" was abandoned by the server on "%s"', held.record.kind, held.record.id, held.record.node)
    return True


async def _write_end(state: State, held: Held[Task], ended: Task) -> bool:
    try:
        await state.store.commit(tasks.writing(state, held, ended))
    except (Changed, NotFound):
        return False
    return True


async def _sweep_all(state: State, pools: Mapping[str, Pool], here: str) -> bool:
    """Whether another look is due soon."""
    shared = [pool for pool in await all_pools(pools) if pool.capabilities.shared]
    left = [*[await _sweep(state, pool) for pool in shared], await ovas.clear(state, pools)]
    await end_definitions(state, pools, here)
    await end_downloads(state, pools)  # last: a pool that is away keeps what was taken in it, and nothing else
    return any(left)


async def end_downloads(state: State, pools: Mapping[str, Pool]) -> None:
    """Remove the snapshots that downloads took whose server died, then say that these have failed.

    As above, the tasks are read before the locks.
    """
    running = await _running(state, {DOWNLOAD})
    held = await state.store.locks() if running else {}
    for task in running:
        if download_lock(task.record) not in held:
            with suppress(NotFound):
                await _remove_snapshot(pools, task.record)
            await _end(state, task)


async def end_definitions(state: State, pools: Mapping[str, Pool], here: str) -> None:
    """Remove the copies that no VM got because the server died that made them, then say that the task has failed.

    As above, the tasks are read before the locks. here: the node of this server.
    """
    running = await _running(state, {DEFINITION})
    held = await state.store.locks() if running else {}
    for task in running:
        if held.get(lock_of(task.record)) == holder(task.record):
            continue
        if await appliances.is_defined(state, task.record):
            await _write_end(state, task, appliances.done(task.record))
        elif await appliances.clear(state, pools, task.record, here):
            await _end(state, task)


async def _remove_snapshot(pools: Mapping[str, Pool], task: Task) -> None:
    if snapshot := task.args.get("snapshot"):
        pool, volume = names.split_volume(task.target[1])
        await cast("Snapshots", await pool_of(pools, pool)).remove_snapshot(volume, snapshot)
        log.info('Removed "%s" of volume "%s", left by a download of a server that died', snapshot, task.target[1])


async def _sweep(state: State, pool: Pool) -> bool:
    try:
        async with state.store.lock(f"leftovers.{pool.name}", "a look for what uploads left"):
            return await sweep(state, pool)
    except Busy:
        return False  # another server is at it


async def sweep(state: State, pool: Pool) -> bool:
    """Remove from a shared pool what dead servers left. Returns whether something is left of whom Ceph believes alive.

    The images are listed before the locks are read: whoever made one of them took the lock before, so where there is
    no lock, nobody is between making an image and opening it.
    """
    found = await pool.unfinished()
    if not found:
        return False
    held = await state.store.locks()
    dead = [name for name, volume in found.items() if lock_name(pool.name, volume) not in held]
    removed = await pool.remove_orphans(dead)
    for name in removed:
        log.info('Removed "%s", left in pool "%s" by a server that died', name, pool.name)
    return len(removed) < len(dead)
