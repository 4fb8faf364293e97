"""A `pvc serve` with a folder of its own: store, pool, sockets and console logs, nothing outside of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.readiness import Readiness

CONFIG = """\
[api]
socket = "{folder}/pvc.sock"

[store]
path = "{folder}/pvc.db"

[pools.local]
path = "{folder}/pool"

[hypervisor]
uri = "{libvirt_uri}"
console_path = "{folder}/consoles"

[agent]
socket = "{folder}/agent.sock"
log_path = "{folder}/agent.log"
"""


class Serve:
    """folder: exists, with a short name. program: how to call pvc. extra: more configuration, appended.

    Ctrl-C does not reach it.
    """

    def __init__(
        self,
        folder: Path,
        libvirt_uri: str,
        *,
        program: Sequence[str] = (sys.executable, "-m", "pvc"),
        extra: str = "",
    ) -> None:
        self.folder, self._program = folder, tuple(program)
        self._process: subprocess.Popen[bytes] | None = None
        self.config.write_text(CONFIG.format(folder=folder, libvirt_uri=libvirt_uri) + extra)

    @property
    def config(self) -> Path:
        return self.folder / "pvc.toml"

    @property
    def url(self) -> str:
        """What clients take as PVC_URL."""
        return f"unix:{self.folder}/pvc.sock"

    @property
    def pool(self) -> Path:
        return self.folder / "pool"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    @property
    def pid(self) -> int:
        """Of the process that serves: the one file unpacks itself and starts what it holds as its child."""
        if self._process is None:
            raise RuntimeError("This pvc serve is not running.")
        started = self._process.pid
        children = map(int, Path(f"/proc/{started}/task/{started}/children").read_text().split())
        return next((child for child in children if _program(child) == _program(started)), started)

    def start(self, timeout_s: float = 60) -> None:
        """Return when it is ready."""
        if self._process is not None:
            raise RuntimeError("This pvc serve runs already.")
        with Readiness(self.folder / "ready") as readiness, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, "serve"],
                env=os.environ | {"PVC_CONFIG": str(self.config)} | readiness.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            readiness.wait(self._process, timeout_s)

    def stop(self) -> int:
        """End it in order and return its exit code; its guests live on."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would, with all that it started but its guests."""
        self._end(signal.SIGKILL)

    def log_tail(self, lines: int = 30) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as exc:
            exc.add_note(self.log_tail())
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            os.kill(self.pid, number)
        code = self._process.wait()
        self._process = None
        return code


def _program(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/exe")
