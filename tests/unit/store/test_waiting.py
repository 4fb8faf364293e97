"""How kazoo waits for its sockets, and on which thread it says that an answer is there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from pvc.store.connecting import OneSession

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def handler() -> Iterator[OneSession]:
    """As kazoo runs it."""
    made = OneSession(1.0, None)
    made.start()  # type: ignore[attr-defined]
    yield made
    made.stop()  # type: ignore[attr-defined]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_an_answer_is_told_on_the_thread_that_has_it_and_once(handler: OneSession) -> None:
    told: list[int] = []
    before, after = handler.async_result(), handler.async_result()
    before.rawlink(lambda _: told.append(threading.get_ident()))
    before.set("a")  # type: ignore[attr-defined]
    after.set_exception(KeyError())  # type: ignore[attr-defined]
    after.rawlink(lambda _: told.append(threading.get_ident()))
    assert told == [threading.get_ident()] * 2


def test_of_two_sockets_the_one_that_has_something_is_ready(handler: OneSession, pair: Pair) -> None:
    near, far = pair
    assert handler.select([near, far], [], [], 0) == ([], [], [])
    far.send(b"1")
    assert handler.select([near, far], [], [], 10) == ([near], [], [])


def test_a_socket_that_takes_no_more_is_not_ready_for_writing(handler: OneSession, pair: Pair) -> None:
    near, _far = pair
    near.setblocking(False)
    assert handler.select([], [near], [], 10) == ([], [near], [])
    with pytest.raises(BlockingIOError):
        while True:
            near.send(b"1" * 65536)
    assert handler.select([], [near], [], 0.01) == ([], [], [])


def test_the_end_of_the_other_side_wakes_whoever_reads_or_writes(handler: OneSession, pair: Pair) -> None:
    near, far = pair
    far.close()
    assert handler.select([near], [], [], 10) == ([near], [], [])
    assert handler.select([], [near], [], 10) == ([], [near], [])


def test_a_socket_that_is_closed_is_a_mistake_and_no_silence(handler: OneSession, pair: Pair) -> None:
    near, _far = pair
    near.close()
    with pytest.raises(ValueError, match="negative"):
        handler.select([near], [], [], 10)
