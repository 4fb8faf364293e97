"""A pool in a folder of this machine: volumes are sparse raw files. Its layout is in folder.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from pvc.storage.base import Capabilities, Draft, FileSource
from pvc.storage.draft import FileDraft, Target, Writers
from pvc.storage.folder import Folder
from pvc.storage.outage import pool_errors
from pvc.storage.threaded import ThreadedPool
from pvc.storage.threads import in_thread

_THREADS = 8  # the writes of drafts take at most four, so that a listing need not wait for them


async def open_directory(name: str, path: Path) -> DirectoryPool:
    """Open the pool, making its folder when it is missing. Raises PoolUnavailable when it cannot be written."""
    with pool_errors(name):
        pool = DirectoryPool(await in_thread(Folder, name, path))
    async with AsyncExitStack() as undo:
        undo.push_async_callback(pool.aclose)
        async with pool.scratch("trial", 1) as trial:
            await trial.write(b"\1")
            await trial.flush()
        undo.pop_all()
    return pool


class DirectoryPool(ThreadedPool):
    """Pool, Snapshots and Locks in one."""

    def __init__(self, folder: Folder) -> None:
        super().__init__(folder, _THREADS, pool_errors)
        self._folder = folder
        self._writers = Writers(self._threads)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=False, live_snapshots=False)

    def source(self, name: str) -> FileSource:
        return FileSource(str(self._folder.path / self._folder.place(name).file))

    async def secret(self) -> None:
        return None

    @asynccontextmanager
    async def draft(self, name: str, expected: int | None = None) -> AsyncIterator[Draft]:
        began = await self._change(partial(self._folder.version, name), name)
        hidden = self._folder.hidden(name)

        async def put() -> None:
            await self._change(partial(self._folder.replace, name, hidden, began), name)

        target = Target(pool=self.name, name=name, length=began[1], limit=began[1])
        async with self._drafting(FileDraft(hidden, target, self._writers, put)) as draft:
            yield draft

    @asynccontextmanager
    async def scratch(self, name: str, size: int) -> AsyncIterator[Draft]:
        async def put() -> None:
            raise TypeError("scratch space is no volume's content")

        target = Target(pool=self.name, name="scratch", length=0, limit=size)
        async with self._drafting(FileDraft(self._folder.hidden("scratch"), target, self._writers, put)) as draft:
            yield draft
