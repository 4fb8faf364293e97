"""The names that things have on the server: for completion, and for hints at what was meant."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pvc.cli.client import Client
from pvc.errors import PVCError

# Kinds as the API's refusals call them: those that it names by prefix, and those of which there are never many.
_BY_PREFIX = frozenset({"vm", "node", "network", "pool", "volume", "ova", "tag", "task"})
_LISTS = {
    "token": (("tokens",), "name"),
    "generation": (("generations",), "generation"),
    "osd": (("storage", "ceph", "osd"), "id"),
}


class _OutOfTimeError(Exception):
    pass


def names(
    api: Client, kind: str, patience_s: float, *, prefix: str = "", pool: str | None = None, most: int | None = None
) -> list[str]:
    """Return the names of a kind; none where the server does not say them within the patience."""
    try:
        with _deadline(patience_s):
            if kind in _BY_PREFIX:
                found = api.get("names", kind=kind, prefix=prefix or None, pool=pool, most=most)
                return [str(name) for name in found.get("names", ())]
            path, field = _LISTS.get(kind, ((), ""))
            return [str(item[field]) for item in api.get(*path)] if path else []
    except (PVCError, _OutOfTimeError):
        return []


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Whatever is being waited for: a name, a connection, an answer."""

    def end(number: int, frame: FrameType | None) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
