"""A bridge of the machine for guests' NICs, without any address: `with bridge("vmbrtest"):`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bridge(name: str) -> Iterator[str]:
    """Raises CalledProcessError when there is a device of that name."""
    _ip("link", "add", name, "type", "bridge")
    try:
        _ip("link", "set", name, "up")
        yield name
    finally:
        _ip("link", "delete", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
