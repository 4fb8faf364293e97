"""One daemon of a cluster, `pvc serve` or `pvc agent`, with a configuration file and a log of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.readiness import Readiness


class Daemon:
    """folder: exists, with a short name. name: of its files in there. Ctrl-C does not reach it."""

    def __init__(self, mode: str, folder: Path, name: str, config: str) -> None:
        self.config, self.log = folder / f"{name}.toml", folder / f"{name}.out"
        self._mode, self._ready = mode, folder / f"{name}.ready"
        self._process: subprocess.Popen[bytes] | None = None
        self.config.write_text(config)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("This daemon is not running.")
        return self._process.pid

    def start(self, timeout_s: float = 60) -> None:
        """Return when it is ready."""
        with Readiness(self._ready) as readiness, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pvc", self._mode, "--config", str(self.config)],
                env=os.environ | readiness.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            readiness.wait(self._process, timeout_s)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Return when no thread of it runs any more."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as exc:
            exc.add_note(self.log.read_text(errors="replace")[-4000:])
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
