"""Hearing of a client that hangs up while its request is answered without end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from aiohttp import web


def when_hung_up(request: web.Request, act: Callable[[], object]) -> None:
    """aiohttp tells a handler of a lost connection only when it writes, except through a parser as WebSockets have."""
    request.protocol.set_parser(cast(Any, _Listener(act)))


class _Listener:
    """What comes on a connection whose request is answered without end: nothing that matters but the end."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def feed_data(self, _data: bytes) -> tuple[bool, bytes]:
        return False, b""

    def feed_eof(self) -> None:
        self._act()
