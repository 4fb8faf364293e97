"""What a daemon tells the service manager: that it is ready, alive, ending (sd_notify(3), without a library).

Nothing is said where no service manager listens.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("pvc")

_MICROSECOND_S = 1e-6


class Ready:
    """Says READY=1 once all parts are ready."""

    def __init__(self, *parts: str) -> None:
        self._left = set(parts)

    def part(self, name: str) -> Callable[[], None]:
        """What the part calls when it is ready, as often as it likes."""

        def ready() -> None:
            if name in self._left:
                self._left.discard(name)
                if not self._left:
                    log.info("Ready")
                    notify("READY=1")

        return ready


@contextmanager
def watched() -> Iterator[None]:
    """Say from the event loop that it turns, twice in the time that the service manager gives it."""
    loop = asyncio.get_running_loop()
    interval_s = watchdog_interval_s()
    timer: asyncio.TimerHandle | None = None

    def alive() -> None:
        nonlocal timer
        notify("WATCHDOG=1")
        timer = loop.call_later(interval_s, alive)

    if interval_s:
        alive()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


def watchdog_interval_s() -> float:
    """Half of what the service manager waits for a sign of life; 0 where it waits for none from this process.

    The one file runs as a child of the process that the service manager knows.
    """
    meant = os.environ.get("WATCHDOG_PID", "")
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or meant not in ("", str(os.getpid()), str(os.getppid())):
        return 0.0
    return int(microseconds) * _MICROSECOND_S / 2


def notify(text: str) -> None:
    """Never waits: a service manager that is behind with its reading is told the next time."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as notifier:
        try:
            notifier.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as exc:
            log.warning('The service manager is not told "%s": %s', text, exc.strerror)
