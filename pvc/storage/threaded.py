"""A pool whose blocking work is done in threads of its own; requests for one volume take turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from pvc.storage.base import Content, Draft, Heard, Lock, Snapshot, Statistics, Usage, Volume, unheard
from pvc.storage.reading import Reader, reading
from pvc.storage.threads import Copying, in_thread, nothing, on_loop, to_the_end

T = TypeVar("T")


class Kept(Protocol):
    """Where the volumes really are: everything of Pool, Snapshots and Locks that blocks.

    The caller makes one change of a volume at a time.
    """

    @property
    def pool(self) -> str: ...

    def usage(self) -> Usage: ...

    def statistics(self) -> Statistics: ...

    def volumes(self) -> list[Volume]: ...

    def volume_names(self) -> list[str]: ...

    def volume(self, name: str) -> Volume: ...

    def is_open(self, name: str) -> bool: ...

    def create(self, name: str, size: int) -> Volume: ...

    def resize(self, name: str, size: int, shrink: bool) -> Volume: ...

    def rename(self, name: str, new_name: str) -> None: ...

    def clone(self, name: str, new_name: str, copying: Copying) -> Volume: ...

    def remove(self, name: str, heard: Heard) -> None: ...

    def snapshots(self, volume: str) -> list[Snapshot]: ...

    def snapshot(self, volume: str, name: str, copying: Copying) -> Snapshot: ...

    def rename_snapshot(self, volume: str, name: str, new_name: str) -> None: ...

    def remove_snapshot(self, volume: str, name: str) -> None: ...

    def roll_back(self, volume: str, name: str, copying: Copying) -> None: ...

    def locks(self, volume: str) -> list[Lock]: ...

    def break_locks(self, volume: str) -> list[Lock]: ...

    def reader(self, volume: str, snapshot: str) -> Reader: ...

    def unfinished(self) -> dict[str, str]: ...

    def remove_orphans(self, among: Collection[str] | None) -> list[str]: ...

    def close(self) -> None: ...


class OpenDraft(Draft, Protocol):
    async def open(self) -> None: ...

    async def close(self) -> None:
        """Drop it, unless it was committed; may be called at any time."""
        ...


class ThreadedPool:
    """What Pool, Snapshots and Locks have in common; a kind adds capabilities, source, draft and scratch."""

    def __init__(self, kept: Kept, threads: int, errors: Callable[[str], AbstractContextManager[None]]) -> None:
        """errors: given the pool's name, translates what `kept` raises."""
        self._kept, self._errors = kept, errors
        self._threads = ThreadPoolExecutor(threads, f"pool-{kept.pool}")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def name(self) -> str:
        return self._kept.pool

    async def usage(self) -> Usage:
        return await self._run(self._kept.usage)

    async def statistics(self) -> Statistics:
        return await self._run(self._kept.statistics)

    async def volumes(self) -> list[Volume]:
        return await self._run(self._kept.volumes)

    async def volume_names(self) -> list[str]:
        return await self._run(self._kept.volume_names)

    async def volume(self, name: str) -> Volume:
        return await self._run(partial(self._kept.volume, name))

    async def is_open(self, name: str) -> bool:
        return await self._run(partial(self._kept.is_open, name))

    async def create(self, name: str, size: int) -> Volume:
        return await self._change(partial(self._kept.create, name, size), name)

    async def resize(self, name: str, size: int, *, shrink: bool = False) -> Volume:
        return await self._change(partial(self._kept.resize, name, size, shrink), name)

    async def rename(self, name: str, new_name: str) -> None:
        await self._change(partial(self._kept.rename, name, new_name), name, new_name)

    async def clone(self, name: str, new_name: str, heard: Heard = unheard) -> Volume:
        return await self._copy(partial(self._kept.clone, name, new_name), heard, name, new_name)

    async def remove(self, name: str, heard: Heard = unheard) -> None:
        await self._change(partial(self._kept.remove, name, on_loop(heard)), name)

    async def snapshots(self, volume: str) -> list[Snapshot]:
        return await self._run(partial(self._kept.snapshots, volume))

    async def snapshot(self, volume: str, name: str, heard: Heard = unheard) -> Snapshot:
        return await self._copy(partial(self._kept.snapshot, volume, name), heard, volume)

    async def rename_snapshot(self, volume: str, name: str, new_name: str) -> None:
        await self._change(partial(self._kept.rename_snapshot, volume, name, new_name), volume)

    async def remove_snapshot(self, volume: str, name: str) -> None:
        await self._change(partial(self._kept.remove_snapshot, volume, name), volume)

    async def roll_back(self, volume: str, name: str, heard: Heard = unheard) -> None:
        await self._copy(partial(self._kept.roll_back, volume, name), heard, volume)

    async def locks(self, volume: str) -> list[Lock]:
        return await self._run(partial(self._kept.locks, volume))

    async def break_locks(self, volume: str) -> list[Lock]:
        return await self._change(partial(self._kept.break_locks, volume), volume)

    def content(self, volume: str, name: str) -> AbstractAsyncContextManager[Content]:
        return reading(partial(self._kept.reader, volume, name), self._run)

    async def unfinished(self) -> Mapping[str, str]:
        return await self._run(self._kept.unfinished)

    async def remove_orphans(self, among: Collection[str] | None = None) -> Sequence[str]:
        return await self._run(partial(self._kept.remove_orphans, among))

    async def aclose(self) -> None:
        await in_thread(self._threads.shutdown)
        await in_thread(self._kept.close)

    async def _run(self, work: Callable[[], T], on_cancel: Callable[[], None] = nothing) -> T:
        with self._errors(self.name):
            return await to_the_end(asyncio.get_running_loop().run_in_executor(self._threads, work), on_cancel)

    async def _change(self, work: Callable[[], T], *names: str) -> T:
        async with self._turn(*names):
            return await self._run(work)

    async def _copy(self, work: Callable[[Copying], T], heard: Heard, *names: str) -> T:
        copying = Copying(on_loop(heard))
        async with self._turn(*names):
            return await self._run(partial(work, copying), copying.stop.set)

    @asynccontextmanager
    async def _turn(self, *names: str) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            for name in sorted(set(names)):
                await held.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            yield

    @asynccontextmanager
    async def _drafting(self, draft: OpenDraft) -> AsyncIterator[Draft]:
        try:
            await draft.open()
            yield draft
        finally:
            await draft.close()
