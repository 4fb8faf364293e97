"""The latest events of this server, and where each of its readers is among them.

They are kept once for all readers. A reader is a position: who falls behind the oldest is told so, and costs nothing.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from pvc.errors import InvalidInput, TooOld
from pvc.server.news import News
from pvc.store.mirror import Heard, Round
from pvc.store.paths import Paths

# Events that are kept for readers to go on from, some 500 bytes each.
KEPT = 8192

_ID = re.compile(r"([0-9]{1,18})(?:-([0-9a-f]{8})-([0-9]{1,18}))?")


@dataclass(frozen=True, slots=True)
class Told:
    """One event. until: no change beyond this revision is in it. text: as JSON."""

    id: str
    kind: str
    names: frozenset[str]
    until: int
    text: bytes


class Feed:
    """now: seconds since the epoch, for people to read."""

    def __init__(self, now: Callable[[], float] = time.time, kept: int = KEPT) -> None:
        self._now = now
        self.kept = kept
        self._server = secrets.token_hex(4)
        self._told: dict[int, Told] = {}
        self._next = 1
        self._reached = 0
        self._lost_until = 0
        self._reload_at = 0
        self._paths: Paths | None = None
        self._news: News | None = None
        self._more = asyncio.Event()
        self.over = ""

    def heard(self, paths: Paths) -> Heard:
        """What a session's mirror tells its rounds to. Another generation than before is a world of its own."""
        if paths != self._paths:
            self._paths, self._news = paths, None
        whole = True

        def take(round_: Round) -> None:
            nonlocal whole
            self._take(paths, round_, whole=whole)
            whole = False

        return take

    @property
    def id(self) -> str:
        """Of the last event; going on from here misses nothing."""
        return f"{self._reached}-{self._server}-{self._next - 1}"

    def position(self, last: str | None) -> int:
        """Where to go on after the event `last`, or after a revision; at the end when None.

        Raises InvalidInput, TooOld.
        """
        if last is None:
            return self._next
        match = _ID.fullmatch(last)
        if match is None:
            raise InvalidInput({"after": "must be the id of an event, or a revision"})
        if match[2] == self._server:
            return self._checked(min(int(match[3]) + 1, self._next))
        revision = int(match[1])
        if revision < self._lost_until:
            raise TooOld(why=f"What happened after revision {revision} is not known any more")
        return next((number for number, told in self._told.items() if told.until > revision), self._next)

    @property
    def oldest(self) -> int:
        return self._next - len(self._told)

    def after(self, position: int, most: int) -> list[Told]:
        """At most so many, from `position` on. Raises TooOld when some of them are not kept any more."""
        self._checked(position)
        return [self._told[number] for number in range(position, min(self._next, position + most))]

    async def more(self, position: int) -> None:
        """Return when there is something from `position` on, or the feed is over."""
        while position >= self._next and not self.over:
            await self._more.wait()

    def end(self, why: str) -> None:
        """why: what follows "because", for all who read."""
        self.over = why
        self._ring()

    def _checked(self, position: int) -> int:
        if position < self._reload_at:
            raise TooOld(why="The cluster was restored or made anew")
        if position < self.oldest:
            raise TooOld(why=f"More than {self.kept} events happened before this reader took them")
        return position

    def _take(self, paths: Paths, round_: Round, *, whole: bool) -> None:
        """whole: the round has everything that there is."""
        if self._news is None:
            self._begin(paths, round_)
        else:
            if whole:
                paths_ = {*round_.paths, *self._news.gone(round_.entries)}
                round_ = Round(paths_, round_.entries, round_.since, round_.until)
            self._tell(round_, self._news.take(round_))
        self._reached = round_.since

    def _begin(self, paths: Paths, round_: Round) -> None:
        """Nothing that is there happened now: readers of before must read it."""
        self._news = News(paths)
        self._news.take(round_)
        self._told.clear()
        self._lost_until = round_.until
        self._reload_at = self._next = self._next + 1
        self._ring()

    def _tell(self, round_: Round, events: list[dict[str, object]]) -> None:
        """Only the last event of a round has all that the round's revision promises."""
        for left, event in zip(reversed(range(len(events))), events, strict=True):
            complete = self._reached if left else round_.since
            name = f"{complete}-{self._server}-{self._next}"
            text = msgspec.json.encode({"event": name, "at": self._now(), **event})
            names = frozenset((str(event["name"]), str(event["id"])))
            self._told[self._next] = Told(name, str(event["kind"]), names, round_.until, text)
            self._next += 1
        for number in self._too_many():
            self._lost_until = max(self._lost_until, self._told.pop(number).until)
        if events:
            self._ring()

    def _too_many(self) -> Iterator[int]:
        yield from list(self._told)[: max(0, len(self._told) - self.kept)]

    def _ring(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()
