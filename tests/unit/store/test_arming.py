"""Arming a watch on the children of a record that comes into being just then."""

from __future__ import annotations

from typing import Any, cast

from kazoo.protocol.states import WatchedEvent

from pvc.errors import NotFound
from pvc.store.base import About, Topic
from pvc.store.bells import Bell
from pvc.store.clustered import _Watch
from pvc.store.zookeeper import Link, Request


class ScriptedLink:
    """Answers as it is told to, whatever is asked, and keeps what was asked."""

    def __init__(self, *answers: list[Any]) -> None:
        self._answers = list(answers)
        self.asked: list[list[str]] = []

    async def ask(self, *requests: Request) -> list[Any]:
        if not requests:
            return []
        self.asked.append([request.path for request in requests])
        return self._answers.pop(0)

    def record_rang(self, event: WatchedEvent) -> None: ...

    def children_rang(self, event: WatchedEvent) -> None: ...


ONE, TWO = Topic(About.CHILDREN, "/one"), Topic(About.CHILDREN, "/two")
MISSING = NotFound(kind="record", name="/one")


async def test_a_record_made_between_the_two_questions_is_asked_for_its_children_again() -> None:
    link = ScriptedLink([MISSING, ["a"]], [(0, 0)], [["b"]])
    await _Watch(cast(Link, link), Bell()).arm([ONE, TWO])
    assert link.asked == [["/one", "/two"], ["/one"], ["/one"]]


async def test_a_record_that_stays_missing_is_watched_for_its_creation_only() -> None:
    link = ScriptedLink([MISSING], [None])
    await _Watch(cast(Link, link), Bell()).arm([ONE])
    assert link.asked == [["/one"], ["/one"]]
