"""The store of a cluster: what Store promises, on a ZooKeeper session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from pvc.errors import AlreadyExists, Busy, NotFound, PVCError, SessionLost, StoreUnavailable
from pvc.store import ownership, zookeeper
from pvc.store.access import Access
from pvc.store.base import About, Entry, Following, Operation, Topic, Watch, refuse_too_large
from pvc.store.bells import Bell, topics
from pvc.store.following import BellFollowing
from pvc.store.paths import LOCKS, lock_path
from pvc.store.zookeeper import Link, Request

# Seconds between two tries while ZooKeeper is up and refuses.
_PAUSE_S = 0.2


class ClusteredSource:
    def __init__(self, hosts: Sequence[str], session_timeout_s: float, access: Access) -> None:
        self._hosts = hosts
        self._timeout_s = session_timeout_s
        self._access = access
        self._open: set[ClusteredStore] = set()

    async def session(self) -> ClusteredStore:
        self._open = {store for store in self._open if not store.lost.is_set()}
        store = await ClusteredStore.open(self._hosts, self._timeout_s, self._access)
        self._open.add(store)
        return store

    async def aclose(self) -> None:
        await asyncio.gather(*(store.aclose() for store in self._open))
        self._open.clear()


class ClusteredStore:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._locks = _Locks(link, self)

    @classmethod
    async def open(cls, hosts: Sequence[str], session_timeout_s: float, access: Access) -> Self:
        """Raises StoreUnavailable when no server answers within a few seconds, NotPermitted unless records are ours."""
        link = await Link.open(hosts, session_timeout_s, access)
        try:
            await ownership.claim(link, access.user)
        except BaseException:
            await asyncio.shield(link.aclose())
            raise
        return cls(link)

    @property
    def lost(self) -> asyncio.Event:
        return self._link.lost

    async def get(self, path: str) -> Entry:
        entry: Entry = await self._ask(zookeeper.get(path))
        return entry

    async def get_many(self, paths: Sequence[str]) -> list[Entry | None]:
        answers = await self._link.ask(*[zookeeper.get(path) for path in paths])
        return [None if isinstance(answer, NotFound) else answer for answer in answers]

    async def children(self, path: str) -> list[str]:
        return sorted(await self._ask(zookeeper.children(path)))

    @property
    def revision(self) -> int:
        self._link.refuse_if_down()
        return self._link.revision

    async def sync(self) -> None:
        await self._ask(zookeeper.sync())

    async def ensure(self, path: str) -> None:
        names = path.strip("/").split("/")
        steps = ["/" + "/".join(names[:count]) for count in range(1, len(names) + 1)]
        for answer in await self._link.ask(*[zookeeper.create(step) for step in steps]):
            if isinstance(answer, PVCError) and not isinstance(answer, AlreadyExists):
                raise answer

    async def commit(self, *operations: Operation) -> None:
        refuse_too_large(operations)
        if operations:
            await self._ask(zookeeper.commit(operations))

    async def _ask(self, request: Request) -> Any:
        [answer] = await self._link.ask(request)
        if isinstance(answer, PVCError):
            raise answer
        return answer

    @asynccontextmanager
    async def watch(self, *paths: str, children: Sequence[str] = ()) -> AsyncIterator[Watch]:
        self._link.refuse_if_down()
        with self._link.bells.hung(topics(paths, children)) as bell:
            watch = _Watch(self._link, bell)
            await watch.arm(bell.topics)
            yield watch

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[Following]:
        self._link.refuse_if_down()
        with self._link.bells.hung() as bell:
            ready = self._link.up.wait
            yield BellFollowing(self._link.bells, bell, entries=self._entries, lists=self._lists, ready=ready)

    async def _entries(self, paths: Sequence[str]) -> list[Entry | None]:
        answers = await self._link.ask(*[zookeeper.get(path, self._link.record_rang) for path in paths])
        return [None if isinstance(answer, NotFound) else answer for answer in answers]

    async def _lists(self, paths: Sequence[str]) -> list[list[str] | None]:
        answers = await self._link.ask(*[zookeeper.children(path, self._link.children_rang) for path in paths])
        return [None if isinstance(answer, NotFound) else sorted(answer) for answer in answers]

    @asynccontextmanager
    async def lock(self, name: str, holder: str) -> AsyncIterator[None]:
        self._link.refuse_if_down()
        await self._locks.take(name, holder)
        try:
            yield
        finally:
            await asyncio.shield(self._locks.release(name))

    async def locks(self) -> dict[str, str]:
        try:
            names = await self.children(LOCKS)
        except NotFound:
            return {}
        found = zip(names, await self.get_many([lock_path(name) for name in names]), strict=True)
        return {name: entry.value.decode() for name, entry in found if entry is not None}

    async def aclose(self) -> None:
        await self._link.aclose()


class _Watch:
    """ZooKeeper's watches ring once: what rang is armed again before anybody is woken."""

    def __init__(self, link: Link, bell: Bell) -> None:
        self._link = link
        self._bell = bell

    async def wait(self) -> None:
        rang = await self._bell.rung()
        try:
            while not await self._armed(rang):
                await self._link.up.wait()
                await asyncio.sleep(_PAUSE_S)
        except BaseException:
            self._bell.ring(rang)  # for whoever waits next
            raise

    async def _armed(self, due: Iterable[Topic]) -> bool:
        try:
            await self.arm(due)
        except SessionLost:
            raise
        except StoreUnavailable:
            return False
        return True

    async def arm(self, due: Iterable[Topic]) -> None:
        """A list of children that does not exist cannot be watched: its record's creation is, instead."""
        left = list(due)
        while left:
            answers = await self._link.ask(*[self._watching(topic) for topic in left])
            missing = [topic for topic, answer in zip(left, answers, strict=True) if isinstance(answer, NotFound)]
            creation = [zookeeper.exists(topic.path, self._link.children_rang) for topic in missing]
            found = await self._link.ask(*creation)
            left = [topic for topic, stat in zip(missing, found, strict=True) if stat is not None]

    def _watching(self, topic: Topic) -> Request:
        if topic.about is About.RECORD:
            return zookeeper.exists(topic.path, self._link.record_rang)
        return zookeeper.children(topic.path, self._link.children_rang)


class _Locks:
    """Ephemeral records that hold their holder's name.

    A name stays here until its record is known to be gone: one that could not be removed, or whose making was cut
    off, is removed when the connection is back.
    """

    def __init__(self, link: Link, store: ClusteredStore) -> None:
        self._link = link
        self._store = store
        self._holders: dict[str, str] = {}
        self._ended: dict[str, asyncio.Lock] = {}
        self._sweep: asyncio.Task[None] | None = None
        link.on_up = self._sweep_ended

    async def take(self, name: str, holder: str) -> None:
        if name in self._ended:
            await self.release(name)
        if name in self._holders:
            raise Busy(kind="lock", name=name, holder=self._holders[name])
        self._holders[name] = holder
        try:
            await self._create(name, holder)
        except BaseException:
            await asyncio.shield(self.release(name))
            raise

    async def _create(self, name: str, holder: str) -> None:
        path = lock_path(name)
        while True:
            [answer] = await self._link.ask(zookeeper.create(path, holder.encode(), ephemeral=True))
            if isinstance(answer, NotFound):
                await self._store.ensure(LOCKS)
            elif not isinstance(answer, AlreadyExists):
                return
            elif (present := await self._holder(path)) is not None:
                raise Busy(kind="lock", name=name, holder=present)

    async def _holder(self, path: str) -> str | None:
        [entry] = await self._store.get_many([path])
        return None if entry is None else entry.value.decode()

    async def release(self, name: str) -> None:
        turn = self._ended.setdefault(name, asyncio.Lock())
        try:
            async with turn:
                if self._ended.get(name) is turn:
                    await self._remove(name)
        except StoreUnavailable:
            return  # the name stays in _ended

    async def _remove(self, name: str) -> None:
        path = lock_path(name)
        [present] = await self._link.ask(zookeeper.exists(path))
        if present is not None:
            version, owner = present
            if owner == self._link.session_id:
                await self._link.ask(zookeeper.delete(path, version))
        del self._ended[name]
        self._holders.pop(name, None)

    def _sweep_ended(self) -> None:
        self._sweep = asyncio.ensure_future(self._release_ended())

    async def _release_ended(self) -> None:
        for name in list(self._ended):
            await self.release(name)
