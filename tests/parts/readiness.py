"""Waits for a daemon to say READY=1 on its NOTIFY_SOCKET: an event, not a poll."""

from __future__ import annotations

import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.place import Process


class NotReady(Exception):
    pass


class Readiness:
    """Give `environment` to the daemon, then call `wait`. `path` is made and removed; short, it is a socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path)}

    def wait(self, process: Process, name: str, timeout_s: float = 60) -> None:
        """Raises NotReady when the process ends first, or says nothing in time. name: for people."""
        end = time.monotonic() + timeout_s
        while not self._ready(process, name, end - time.monotonic()):
            pass

    def _ready(self, process: Process, name: str, left_s: float) -> bool:
        waiting, _, _ = select.select([self._socket.fileno(), process.fileno()], [], [], max(left_s, 0))
        if self._socket.fileno() in waiting:
            return b"READY=1" in self._socket.recv(4096).split(b"\n")
        if process.fileno() in waiting:
            raise NotReady(f"{name} ended with {process.wait()} before it was ready.")
        raise NotReady(f"{name} was not ready in time.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)
