"""How the tests call pvc: always as a program."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PVC:
    """`pvc("vm", "list")` runs it to its end; `start` leaves it running."""

    command: list[str]
    environment: dict[str, str]

    def __call__(
        self, *args: str, stdin: Any = subprocess.DEVNULL, text: bytes | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """text: what stdin is."""
        given = {"input": text} if text is not None else {"stdin": stdin}
        result = subprocess.run(
            [*self.command, *args], capture_output=True, timeout=30, env=self._environment(options), **given, **options
        )
        return subprocess.CompletedProcess(
            result.args, result.returncode, result.stdout.decode(), result.stderr.decode()
        )

    def start(self, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.command, *args], env=self._environment(options), **options)

    def _environment(self, options: dict[str, Any]) -> dict[str, str]:
        keep = {name: value for name, value in os.environ.items() if not name.startswith("PVC_")}
        return {**keep, **self.environment, **options.pop("environment", {})}


def interrupted(process: subprocess.Popen[bytes]) -> bytes:
    """What it complained of. Python hears of a signal that comes just before a read that blocks only with the next."""
    for _ in range(15):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=4)[1]
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("It does not let itself be interrupted.")
