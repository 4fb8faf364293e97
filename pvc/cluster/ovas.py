"""OVAs: machines that were uploaded, each a record and its volumes, whole or on its way to being or not being.

The record stands before the first volume and goes after the last. Whoever makes or removes an OVA holds its lock, so
one that is not whole and whose lock nobody holds was left by a server that died (docs/design/019).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from msgspec.structs import replace

from pvc.cluster import volumes
from pvc.cluster.state import Held, State
from pvc.cluster.tasks import Report, unheard
from pvc.errors import AlreadyExists, Busy, Changed, Conflict, InUse, NotFound, PVCError
from pvc.model import names
from pvc.model.records import OVA, encode
from pvc.storage.base import Pool
from pvc.store.base import Create, Delete, Put

log = logging.getLogger("pvc.server")


def lock_name(name: str) -> str:
    return f"ova.{name}"


@asynccontextmanager
async def reserved(state: State, name: str, holder: str) -> AsyncIterator[None]:
    """Hold an OVA for its making or its removal. Raises Busy with the present holder."""
    async with volumes.held(state, lock_name(name), "OVA", name, holder):
        yield


async def find(state: State, name: str) -> Held[OVA]:
    """Raises NotFound for one that is not whole, too: it is not there yet, or no more."""
    held = await state.ova(name)
    if not held.record.whole:
        raise NotFound(kind="OVA", name=name)
    return held


async def check_free(state: State, name: str) -> None:
    """Raises AlreadyExists; Busy for one that is still being cleared away."""
    with suppress(NotFound):
        if (await state.ova(name)).record.whole:
            raise AlreadyExists(kind="OVA", name=name)
        raise Busy(kind="OVA", name=name, holder="the removal of what a server left that ended")


@asynccontextmanager
async def begun(state: State, pools: Mapping[str, Pool], ova: OVA, holder: str) -> AsyncIterator[set[str]]:
    """Hold the volumes that `ova` is to have, with its record standing; both go again when the context fails.

    The caller holds the OVA, and adds each volume that it makes to the set. Raises AlreadyExists, Busy, InUse.
    """
    made = set[str]()
    async with _holding_volumes(state, ova, holder):
        for disk in ova.disks:
            await volumes.check_no_ova(state, disk.volume)
            await check_absent(pools, disk.volume)
        await state.store.commit(Create(state.paths.ova(ova.name), encode(replace(ova, whole=False))))
        try:
            yield made
        except BaseException:
            await _undo(state, pools, ova.name, made)
            raise


async def _undo(state: State, pools: Mapping[str, Pool], name: str, made: Collection[str]) -> None:
    """What cannot go now is left to `clear`. Without the store the lock is gone, and nothing is touched."""
    try:
        await _take_apart(state, pools, await state.ova(name), made)
    except PVCError as exc:
        log.warning('What there is of OVA "%s" stays for now: %s', name, exc)


async def finish(state: State, ova: OVA) -> None:
    """Make it one that is there. The caller holds it."""
    held = await state.ova(ova.name)
    await state.store.commit(Put(state.paths.ova(ova.name), encode(replace(ova, whole=True)), held.version))


@asynccontextmanager
async def reserved_removable(
    state: State, pools: Mapping[str, Pool], name: str, holder: str
) -> AsyncIterator[Held[OVA]]:
    """Hold an OVA that can be removed. Raises NotFound, Busy; InUse, Conflict for a volume that cannot go."""
    await find(state, name)
    async with reserved(state, name, holder):
        held = await find(state, name)
        async with _holding_volumes(state, held.record, holder):
            for disk in held.record.disks:
                await _check_removable(pools, disk.volume)
            yield held


async def remove(state: State, pools: Mapping[str, Pool], held: Held[OVA], report: Report) -> None:
    """The caller holds it."""
    name = held.record.name
    await state.store.commit(Put(state.paths.ova(name), encode(replace(held.record, whole=False)), held.version))
    made = {disk.volume for disk in held.record.disks}
    await _take_apart(state, pools, await state.ova(name), made, report)


async def clear(state: State, pools: Mapping[str, Pool]) -> bool:
    """Remove what servers that died left of OVAs. Returns whether something is left of whom a pool believes alive."""
    again = False
    for item in await state.ovas():
        if isinstance(item, Held) and not item.record.whole:
            with suppress(Busy, NotFound):  # whoever makes or removes it is alive; or it is gone
                again |= await _clear(state, pools, item.record.name)
    return again


async def _clear(state: State, pools: Mapping[str, Pool], name: str) -> bool:
    holder = "a look for what uploads left"
    async with reserved(state, name, holder):
        held = await state.ova(name)
        if held.record.whole:
            return False
        async with _holding_volumes(state, held.record, holder):
            try:
                await _take_apart(state, pools, held, {disk.volume for disk in held.record.disks})
            except InUse:
                return True
    log.info('Removed OVA "%s", left unfinished by a server that died', name)
    return False


@asynccontextmanager
async def _holding_volumes(state: State, ova: OVA, holder: str) -> AsyncIterator[None]:
    async with AsyncExitStack() as holding:
        for disk in ova.disks:
            pool, name = names.split_volume(disk.volume)
            await holding.enter_async_context(volumes.reserved(state, pool, name, holder))
        yield


async def _take_apart(
    state: State, pools: Mapping[str, Pool], held: Held[OVA], made: Collection[str], report: Report = unheard
) -> None:
    """Remove the volumes `made`, then the record. Raises before the record goes when a volume stays."""
    for number, volume in enumerate(sorted(made), 1):
        report(phase := f"removing volume {number} of {len(made)}", 0, 0)
        pool, name = await _split(pools, volume)
        with suppress(NotFound):
            await pool.remove(name, partial(report, phase))
    with suppress(NotFound, Changed):  # somebody else came to the same end
        await state.store.commit(Delete(state.paths.ova(held.record.name), held.version))


async def check_absent(pools: Mapping[str, Pool], volume: str) -> None:
    """Raises AlreadyExists."""
    pool, name = await _split(pools, volume)
    with suppress(NotFound):
        await pool.volume(name)
        raise AlreadyExists(kind="volume", name=volume)


async def _check_removable(pools: Mapping[str, Pool], volume: str) -> None:
    pool, name = await _split(pools, volume)
    with suppress(NotFound):
        if (await pool.volume(name)).snapshots:
            raise Conflict(kind="volume", name=volume, problem="has snapshots, so the OVA cannot be removed with it")
        await volumes.check_closed(pool, name)


async def _split(pools: Mapping[str, Pool], volume: str) -> tuple[Pool, str]:
    """Raises NotFound for a pool that this server does not have: another one may."""
    pool, name = names.split_volume(volume)
    return await volumes.pool_of(pools, pool), name
