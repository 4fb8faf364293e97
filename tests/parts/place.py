"""Where a test's processes run: on this machine, or in a place of their own behind the same few calls."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol


class Process(Protocol):
    """Every number of a process is as it is seen from here."""

    @property
    def pid(self) -> int: ...

    def fileno(self) -> int:
        """Becomes readable when it ends."""

    def is_alive(self) -> bool: ...

    def signal(self, number: signal.Signals) -> None: ...

    def until_stopped(self) -> None:
        """Return when no thread of it runs any more, after SIGSTOP."""

    def wait(self) -> int:
        """Return its exit code once it is gone; -N when signal N ended it."""


class Place(Protocol):
    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Process:
        """log: where its output is appended. environment: besides our own. Ctrl-C does not reach it."""

    def pid(self, there: int) -> int:
        """The number here of a process that has the number `there` in that place. Raises ProcessLookupError."""

    def network(self) -> AbstractContextManager[None]:
        """Inside, this thread and those that it makes are in that place's network."""


class Here:
    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Process:
        with log.open("ab") as out:
            return Child(
                subprocess.Popen(
                    command,
                    env=os.environ | (environment or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            )

    def pid(self, there: int) -> int:
        return there

    def network(self) -> AbstractContextManager[None]:
        return nullcontext()


HERE = Here()


class Child:
    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self._end = os.pidfd_open(popen.pid)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def fileno(self) -> int:
        return self._end

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def until_stopped(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def wait(self) -> int:
        code = self._popen.wait()
        if self._end >= 0:
            os.close(self._end)
            self._end = -1
        return code


def call(place: Place, command: Sequence[str], log: Path) -> None:
    """Run a command to its end. Raises RuntimeError when it fails, with what it said."""
    began = log.stat().st_size if log.exists() else 0
    code = place.start(command, log).wait()
    if code != 0:
        with log.open("rb") as out:
            out.seek(began)
            said = out.read().decode(errors="replace")
        raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{said}")
