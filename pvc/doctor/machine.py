"""What the checks ask of this machine. The only module here that looks at it."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from pathlib import Path

from pvc.environment import child_environment

_TIME_ERROR = 5  # what adjtimex(2) answers while the clock follows no other
_TIMEX_BYTES = 256  # more than any struct timex has; all zeroes ask and change nothing
_PROGRAM_S = 4


class Machine:
    def is_root(self) -> bool:
        return os.geteuid() == 0

    def has_program(self, name: str) -> bool:
        return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin") is not None

    def complaint_of(self, command: list[str]) -> str:
        """Run it; empty when it ends well, else the last line that it said."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PROGRAM_S, env=child_environment(), check=False
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            return str(exc)
        return ((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]) if done.returncode else ""

    def problem_reading(self, path: str) -> str:
        """Why the file cannot be read; empty when it can."""
        try:
            with open(path, "rb") as file:
                file.read(1)
        except OSError as exc:
            return exc.strerror or str(exc)
        return ""

    def is_open_to_others(self, path: str) -> bool:
        return bool(os.stat(path).st_mode & 0o077)

    def text(self, path: str) -> str:
        """Empty when it cannot be read."""
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_in_chroot(self) -> bool:
        """Whether the first process has another root; as far as that can be seen."""
        try:
            return not os.path.samefile("/", "/proc/1/root")
        except OSError:
            return False

    def has_systemd(self) -> bool:
        return os.path.isdir("/run/systemd/system")

    def answers(self, host: str, port: int) -> bool:
        """Whether anybody listens there."""
        try:
            socket.create_connection((host, port), timeout=_PROGRAM_S).close()
        except OSError:
            return False
        return True

    def own_name(self) -> str:
        return socket.gethostname()

    def resolves(self, name: str) -> bool:
        try:
            socket.getaddrinfo(name, None)
        except OSError:
            return False
        return True

    def space(self, folder: str) -> tuple[int, int]:
        """Return free and all bytes where the folder is, or will be."""
        place = Path(folder)
        while not place.exists():
            place = place.parent
        usage = shutil.disk_usage(place)
        return usage.free, usage.total

    def has_address(self, address: str) -> bool:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                probe.bind((address, 0))
        except OSError:
            return False
        return True

    def clock_follows(self) -> bool:
        """Whether the kernel knows its clock to be set by another, as NTP does."""
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return state != _TIME_ERROR
