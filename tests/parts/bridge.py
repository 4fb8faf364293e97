"""A bridge of the machine for guests' NICs, without any address: `with bridge("vmbrtest"):`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bridge(name: str) -> Iterator[str]:
    add(name)
    try:
        yield name
    finally:
        remove(name)


def add(name: str) -> None:
    """Raises CalledProcessError when there is a device of that name."""
    _ip("link", "add", name, "type", "bridge")
    _ip("link", "set", name, "up")


def remove(name: str) -> None:
    _ip("link", "delete", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
