"""Waits for a daemon to say READY=1 on its NOTIFY_SOCKET: an event, not a poll."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self


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

    def wait(self, process: subprocess.Popen[bytes], timeout_s: float = 60) -> None:
        """Raises NotReady when the process ends first, or says nothing in time."""
        end = time.monotonic() + timeout_s
        gone = os.pidfd_open(process.pid)
        try:
            while not self._ready(process, gone, end - time.monotonic()):
                pass
        finally:
            os.close(gone)

    def _ready(self, process: subprocess.Popen[bytes], gone: int, left_s: float) -> bool:
        waiting, _, _ = select.select([self._socket.fileno(), gone], [], [], max(left_s, 0))
        if self._socket.fileno() in waiting:
            return b"READY=1" in self._socket.recv(4096).split(b"\n")
        if gone in waiting:
            raise NotReady(f"{process.args!r} ended with {process.wait()} before it was ready.")
        raise NotReady(f"{process.args!r} was not ready in time.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)
