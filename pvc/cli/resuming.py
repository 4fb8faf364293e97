"""An upload that goes on by itself where its connection broke."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pvc.cli.client import Client
from pvc.cli.failure import Failure

# Seconds before each try to go on; those after a try that brought something begin anew.
PAUSES_S = (0.2, 1, 2, 5, 10, 20, 30)


def resumed(
    send: Callable[[int | None], Any],
    ask: Callable[[], dict[str, Any]],
    api: Client,
    pause: Callable[[float], None] = time.sleep,
) -> Any:
    """Return the answer to the upload.

    send: what sends it, from an offset, from the beginning where that is None. ask: how far it is.
    """
    try:
        return _to_the_end(send, ask, pause)
    except KeyboardInterrupt:  # whoever does that does not want to go on with it
        with suppress(Failure):
            api.post("tasks", ask()["task"], action="cancel")
            raise KeyboardInterrupt("The upload was cancelled and changed nothing.") from None
        raise


def _to_the_end(
    send: Callable[[int | None], Any], ask: Callable[[], dict[str, Any]], pause: Callable[[float], None]
) -> Any:
    begin: int | None = None
    left = list(PAUSES_S)
    while True:
        try:
            return send(begin)
        except Failure as exc:
            if not _is_broken(exc):
                raise
            known, begin = begin or 0, _offset(ask, exc, left, pause)
            if begin > known:
                left = list(PAUSES_S)


def _is_broken(exc: Failure) -> bool:
    return exc.code == "unreachable" or (exc.code == "conflict" and "offset" in exc.fields)


def _offset(
    ask: Callable[[], dict[str, Any]], broken: Failure, left: list[float], pause: Callable[[float], None]
) -> int:
    """How much the server has. Raises what broke when it has nothing of it, or does not answer for long."""
    while left:
        pause(left.pop(0))
        try:
            return int(ask()["offset"])
        except Failure as exc:
            if exc.code not in ("unreachable", "unavailable", "store_unavailable", "session_lost"):
                raise broken from exc
    raise broken
