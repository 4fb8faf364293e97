"""What every daemon that tests start can suffer: it is ended, crashes, freezes, and comes back."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.parts.place import HERE, Place, Process
from tests.parts.readiness import Readiness


class Daemon(ABC):
    """All methods block. What it keeps on disk outlives its end.

    name: for people. log: where its output goes.
    """

    def __init__(self, name: str, log: Path, place: Place = HERE) -> None:
        self.name, self.log, self.place = name, log, place
        self._process: Process | None = None
        self._frozen = False

    @abstractmethod
    def _launch(self) -> None:
        """Set `_process`, and return when it is ready."""

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def answers(self) -> bool:
        """It runs, and is not frozen."""
        return self.is_running and not self._frozen

    def start(self) -> None:
        """Return when it is ready."""
        if self._process is not None:
            raise RuntimeError(f"This {self.name} runs already.")
        self._launch()

    def stop(self) -> int:
        """End it in order and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it as a crash would, frozen or not."""
        return self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Return when no thread of it runs any more."""
        self._signal(signal.SIGSTOP)
        self._running.until_stopped()
        self._frozen = True

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self._frozen = False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def mend(self) -> None:
        """Have it running, whatever happened to it."""
        if not self.is_running:
            self._process, self._frozen = None, False
            self.start()
        elif self._frozen:
            self.thaw()

    def log_tail(self, lines: int = 30) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        self._process = self.place.start(command, self.log, environment)
        return self._process

    def _run_until_ready(
        self, command: Sequence[str], at: Path, environment: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> None:
        """at: where a socket for its READY=1 is made, in an existing folder with a short name."""
        with Readiness(at) as readiness:
            process = self._run(command, {**(environment or {}), **readiness.environment})
            readiness.wait(process, self.name, timeout_s)

    @property
    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError(f"This {self.name} is not running.")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        self._running.signal(number)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.is_alive():
            self._signal(number)
        code = self._process.wait()
        self._process, self._frozen = None, False
        return code


def at_once(act: Callable[[Daemon], object], daemons: Iterable[Daemon]) -> None:
    """Like `at_once(Daemon.start, servers)`, for those that wait for each other."""
    with ThreadPoolExecutor(16) as threads:
        for done in [threads.submit(act, daemon) for daemon in daemons]:
            done.result()
