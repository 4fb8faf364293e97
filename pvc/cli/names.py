"""The names that things have on the server: for completion, and for hints at what was meant."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pvc.cli.client import Client, Parameter
from pvc.errors import PVCError

# Where the things of a kind are listed, and the field that names them. Kinds as the API's refusals call them.
_LISTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "vm": (("vm",), ("name",)),
    "node": (("node",), ("name",)),
    "network": (("network",), ("vni",)),
    "pool": (("storage", "ceph", "pool"), ("name",)),
    "volume": (("storage", "ceph", "volume"), ("name",)),
    "pool/volume": (("storage", "ceph", "volume"), ("pool", "name")),
    "token": (("tokens",), ("name",)),
    "task": (("tasks",), ("id",)),
}


class _OutOfTimeError(Exception):
    pass


def names(api: Client, kind: str, patience_s: float, **parameters: Parameter) -> list[str]:
    """Return the names of a kind, without repetition; none where the server does not say them within the patience."""
    if kind not in _LISTS:
        return []
    path, fields = _LISTS[kind]
    try:
        with _deadline(patience_s):
            found = api.get(*path, **parameters)
    except (PVCError, _OutOfTimeError):
        return []
    return list(dict.fromkeys("/".join(str(item.get(field, "")) for field in fields) for item in found))


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
