"""Following, as both stores do it: the bell listens before the question is sent, so no change falls in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pvc.store.base import About, Entry, Topic
from pvc.store.bells import Bell, Bells

_T = TypeVar("_T")

Ask = Callable[[Sequence[str]], Awaitable[list[_T | None]]]
Ready = Callable[[], Awaitable[object]]


class BellFollowing:
    """entries, lists: ask the store, so that what is found rings from then on. ready: see Following."""

    def __init__(self, bells: Bells, bell: Bell, *, entries: Ask[Entry], lists: Ask[list[str]], ready: Ready) -> None:
        self._bells = bells
        self._bell = bell
        self._entries = entries
        self._lists = lists
        self._ready = ready

    @property
    def rang(self) -> bool:
        return self._bell.rang

    async def entries(self, paths: Sequence[str]) -> list[Entry | None]:
        return await self._read(About.RECORD, paths, self._entries)

    async def lists(self, paths: Sequence[str]) -> list[list[str] | None]:
        return await self._read(About.CHILDREN, paths, self._lists)

    async def _read(self, about: About, paths: Sequence[str], ask: Ask[_T]) -> list[_T | None]:
        self._bells.listen(self._bell, (Topic(about, path) for path in paths))
        found = await ask(paths)
        missing = [path for path, answer in zip(paths, found, strict=True) if answer is None]
        self._bells.leave(self._bell, (Topic(about, path) for path in missing))
        return found

    async def changed(self) -> frozenset[Topic]:
        return frozenset(await self._bell.rung())

    def again(self, topics: frozenset[Topic]) -> None:
        self._bell.ring(topics)

    async def ready(self) -> None:
        await self._ready()
