"""Watches are told before the answers that came after them: kazoo itself has a thread for each."""

from __future__ import annotations

from kazoo.protocol.states import Callback

from pvc.store.connecting import OneSession


def test_a_watch_is_told_before_anything_else_is_read_from_the_connection() -> None:
    told: list[str] = []
    OneSession(1.0, None).dispatch_callback(Callback("watch", told.append, ("/a",)))
    assert told == ["/a"]
