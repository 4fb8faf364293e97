"""A pool in a folder of this machine: volumes are sparse raw files. Its layout is in folder.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from pvc.storage.base import Capabilities, Draft, FileSource, Snapshot, Usage, Volume
from pvc.storage.draft import FileDraft, Target, Writers
from pvc.storage.folder import Folder
from pvc.storage.outage import pool_errors
from pvc.storage.threads import in_thread, nothing, to_the_end

T = TypeVar("T")

_THREADS = 8  # the writes of drafts take at most four, so that a listing need not wait for them


async def open_directory(name: str, path: Path) -> DirectoryPool:
    """Open the pool, making its folder when it is missing. Raises PoolUnavailable when it cannot be written."""
    with pool_errors(name):
        pool = DirectoryPool(await in_thread(Folder, name, path))
    async with AsyncExitStack() as undo:
        undo.push_async_callback(pool.aclose)
        async with pool.scratch(1) as trial:
            await trial.write(b"\1")
            await trial.flush()
        undo.pop_all()
    return pool


class DirectoryPool:
    """Pool and Snapshots in one. Requests for one volume take turns; all blocking work is done in own threads."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(_THREADS, f"pool-{folder.pool}")
        self._writers = Writers(self._threads)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def name(self) -> str:
        return self._folder.pool

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=False)

    def source(self, name: str) -> FileSource:
        return FileSource(str(self._folder.path / self._folder.place(name).file))

    async def usage(self) -> Usage:
        return await self._run(self._folder.usage)

    async def volumes(self) -> list[Volume]:
        return await self._run(self._folder.volumes)

    async def volume(self, name: str) -> Volume:
        return await self._run(partial(self._folder.volume, name))

    async def is_open(self, name: str) -> bool:
        return await self._run(partial(self._folder.is_open, name))

    async def create(self, name: str, size: int) -> Volume:
        return await self._change(partial(self._folder.create, name, size), name)

    async def resize(self, name: str, size: int, *, shrink: bool = False) -> Volume:
        return await self._change(partial(self._folder.resize, name, size, shrink), name)

    async def rename(self, name: str, new_name: str) -> None:
        await self._change(partial(self._folder.rename, name, new_name), name, new_name)

    async def clone(self, name: str, new_name: str) -> Volume:
        return await self._copy(partial(self._folder.clone, name, new_name), name, new_name)

    async def remove(self, name: str) -> None:
        await self._change(partial(self._folder.remove, name), name)

    async def snapshots(self, volume: str) -> list[Snapshot]:
        return await self._run(partial(self._folder.snapshots, volume))

    async def snapshot(self, volume: str, name: str) -> Snapshot:
        return await self._copy(partial(self._folder.snapshot, volume, name), volume)

    async def rename_snapshot(self, volume: str, name: str, new_name: str) -> None:
        await self._change(partial(self._folder.rename_snapshot, volume, name, new_name), volume)

    async def remove_snapshot(self, volume: str, name: str) -> None:
        await self._change(partial(self._folder.remove_snapshot, volume, name), volume)

    async def roll_back(self, volume: str, name: str) -> None:
        await self._copy(partial(self._folder.roll_back, volume, name), volume)

    @asynccontextmanager
    async def draft(self, name: str) -> AsyncIterator[Draft]:
        began = await self._change(partial(self._folder.version, name), name)
        hidden = self._folder.hidden(name)

        async def put() -> None:
            await self._change(partial(self._folder.replace, name, hidden, began), name)

        target = Target(pool=self.name, name=name, length=began[1], limit=began[1])
        async with self._drafting(FileDraft(hidden, target, self._writers, put)) as draft:
            yield draft

    @asynccontextmanager
    async def scratch(self, size: int) -> AsyncIterator[Draft]:
        async def put() -> None:
            raise NotImplementedError("scratch space is no volume's content")

        target = Target(pool=self.name, name="scratch", length=0, limit=size)
        async with self._drafting(FileDraft(self._folder.hidden("scratch"), target, self._writers, put)) as draft:
            yield draft

    async def remove_orphans(self) -> Sequence[str]:
        return await self._run(self._folder.remove_orphans)

    async def aclose(self) -> None:
        await in_thread(self._threads.shutdown)
        self._folder.close()

    async def _run(self, work: Callable[[], T], on_cancel: Callable[[], None] = nothing) -> T:
        with pool_errors(self.name):
            return await to_the_end(asyncio.get_running_loop().run_in_executor(self._threads, work), on_cancel)

    async def _change(self, work: Callable[[], T], *names: str) -> T:
        async with self._turn(*names):
            return await self._run(work)

    async def _copy(self, work: Callable[[threading.Event], T], *names: str) -> T:
        stop = threading.Event()
        async with self._turn(*names):
            return await self._run(partial(work, stop), stop.set)

    @asynccontextmanager
    async def _turn(self, *names: str) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            for name in sorted(set(names)):
                await held.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            yield

    @asynccontextmanager
    async def _drafting(self, draft: FileDraft) -> AsyncIterator[Draft]:
        try:
            await draft.open()
            yield draft
        finally:
            await draft.close()
