"""The part of watching that all stores share: who is to be woken when which record or list of children changed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from pvc.errors import SessionLost
from pvc.store.base import About, Create, Delete, Operation, Put, Topic


def topics(paths: Sequence[str], children: Sequence[str]) -> frozenset[Topic]:
    records = {Topic(About.RECORD, path) for path in paths}
    return frozenset(records | {Topic(About.CHILDREN, path) for path in children})


def touched(operations: Iterable[Operation]) -> Iterator[Topic]:
    """What these operations change. Making or deleting a record changes its own list of children as well."""
    for operation in operations:
        match operation:
            case Put(path):
                yield Topic(About.RECORD, path)
            case Create(path) | Delete(path):
                yield Topic(About.RECORD, path)
                yield Topic(About.CHILDREN, path)
                yield Topic(About.CHILDREN, path.rpartition("/")[0] or "/")


class Bell:
    """Remembers which of its topics rang until somebody asks. A Watch where a ring needs no answer."""

    def __init__(self) -> None:
        self.topics: set[Topic] = set()
        self._rang: set[Topic] = set()
        self._wake = asyncio.Event()
        self._over: str | None = None

    @property
    def rang(self) -> bool:
        return bool(self._rang)

    def ring(self, rang: Iterable[Topic]) -> None:
        self._rang.update(rang)
        self._wake.set()

    def end(self, reason: str) -> None:
        self._over = reason
        self._wake.set()

    async def rung(self) -> set[Topic]:
        """Wait until something rang, and take it. Raises SessionLost."""
        await self._wake.wait()
        if self._over is not None:
            raise SessionLost(reason=self._over)
        self._wake.clear()
        rang, self._rang = self._rang, set()
        return rang

    async def wait(self) -> None:
        await self.rung()


class Bells:
    """Every bell of one session."""

    def __init__(self) -> None:
        self._listening: defaultdict[Topic, set[Bell]] = defaultdict(set)

    @contextmanager
    def hung(self, about: frozenset[Topic] = frozenset()) -> Iterator[Bell]:
        bell = Bell()
        self.listen(bell, about)
        try:
            yield bell
        finally:
            self.leave(bell, list(bell.topics))

    def listen(self, bell: Bell, about: Iterable[Topic]) -> None:
        for topic in about:
            self._listening[topic].add(bell)
            bell.topics.add(topic)

    def leave(self, bell: Bell, about: Iterable[Topic]) -> None:
        for topic in about:
            bell.topics.discard(topic)
            self._listening[topic].discard(bell)
            if not self._listening[topic]:
                del self._listening[topic]

    def ring(self, rang: Iterable[Topic]) -> None:
        for topic in rang:
            for bell in self._listening.get(topic, ()):
                bell.ring((topic,))

    def ring_all(self) -> None:
        for bell in self._all():
            bell.ring(bell.topics)

    def end(self, reason: str) -> None:
        for bell in self._all():
            bell.end(reason)

    def _all(self) -> set[Bell]:
        return set().union(*self._listening.values())
