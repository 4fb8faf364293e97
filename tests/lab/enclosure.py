"""Namespaces of their own for processes, network, mounts and host name, with a folder: ended as one, nothing is left.

Its process 1 is init.py; it starts everything, and everything ends with it, the folder too.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.lab.init import KEEP, MOST_BYTES

_INIT = Path(__file__).with_name("init.py")
_NAMESPACES = ("--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--mount", "--uts", "--propagation", "slave")
_CLONE_NEWNET = 0x40000000
_END_S = 60.0


class Inside:
    """A process of an enclosure. there: its number in it. line: where process 1 tells what becomes of it."""

    def __init__(self, there: int, handle: int, line: socket.socket) -> None:
        self.there, self._handle, self._line = there, handle, line.detach()

    @property
    def pid(self) -> int:
        """Raises ProcessLookupError when it is gone."""
        return _pid(self._handle)

    def fileno(self) -> int:
        return self._handle

    def is_alive(self) -> bool:
        return not select.select([self._handle], [], [], 0)[0]

    def signal(self, number: signal.Signals) -> None:
        signal.pidfd_send_signal(self._handle, number)

    def until_stopped(self) -> None:
        heard = self._hear()
        if "code" in heard:
            raise ProcessLookupError(f"Process {self.there} of the lab ended with {heard['code']}.")

    def wait(self) -> int:
        while "code" not in (heard := self._hear()):
            pass
        return int(heard["code"])

    def network(self) -> AbstractContextManager[None]:
        """Inside, this thread and those that it makes are in the network of the process."""
        return _network(self._handle)

    def __del__(self) -> None:
        os.close(self._handle)
        os.close(self._line)

    def _hear(self) -> dict[str, int]:
        heard = os.read(self._line, MOST_BYTES)
        return dict(json.loads(heard)) if heard else {"code": -signal.SIGKILL}  # process 1 is gone, and all with it


class Enclosure:
    """A place (see tests/parts/place.py). Use `make`; who made it closes it, unless it is kept.

    If the maker is killed, it ends by itself.
    """

    def __init__(self, folder: Path, unshare: subprocess.Popen[bytes], pipe: int) -> None:
        self.folder, self._unshare, self._pipe = folder, unshare, pipe
        self._init = _process(folder, {"pid": 1})

    @classmethod
    def make(cls) -> Self:
        folder = Path(tempfile.mkdtemp(prefix="pvc-lab-"))  # short: sockets below it have 108 characters
        folder.chmod(0o755)
        end, pipe = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, (folder / "init.log").open("wb") as log:
            listener.bind(str(folder / "init"))
            listener.listen()
            files = (listener.fileno(), end)
            words = ["unshare", *_NAMESPACES, sys.executable, "-I", str(_INIT), str(folder), *map(str, files)]
            unshare = subprocess.Popen(
                words, pass_fds=files, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        os.close(end)
        try:
            return cls(folder, unshare, pipe)
        except BaseException as exc:
            exc.add_note((folder / "init.log").read_text())
            _close(folder, unshare, pipe)
            raise

    def keep(self) -> None:
        """Let it outlive this process; `end` ends it."""
        os.write(self._pipe, KEEP)
        os.close(self._pipe)

    def close(self) -> None:
        """Return when nothing of it is left."""
        _close(self.folder, self._unshare, self._pipe)

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Inside:
        return _process(self.folder, {"command": [*command], "log": str(log), "environment": dict(environment or {})})

    def pid(self, there: int) -> int:
        return _process(self.folder, {"pid": there}).pid

    def network(self) -> AbstractContextManager[None]:
        return self._init.network()


def end(folder: Path) -> None:
    """End the enclosure of that folder, if it lives, and return when nothing of it is left."""
    with suppress(OSError):
        outermost = os.pidfd_open(_parent(_process(folder, {"pid": 1}).pid))
        with _ask(folder, {}):
            select.select([outermost], [], [], _END_S)
        os.close(outermost)
    shutil.rmtree(folder, ignore_errors=True)


def _close(folder: Path, unshare: subprocess.Popen[bytes], pipe: int) -> None:
    end(folder)
    unshare.kill()
    unshare.wait()
    os.close(pipe)


def _process(folder: Path, question: dict[str, object]) -> Inside:
    """Raises ProcessLookupError, in process 1's words."""
    line = _ask(folder, question)
    answer, handles, _, _ = socket.recv_fds(line, MOST_BYTES, 1)
    said = json.loads(answer or '{"problem": "The lab has ended."}')
    if "problem" in said:
        line.close()
        raise ProcessLookupError(said["problem"])
    return Inside(said["pid"], handles[0], line)


def _ask(folder: Path, question: dict[str, object]) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        line.connect(str(folder / "init"))
        line.send(json.dumps(question).encode())
    except BaseException:
        line.close()
        raise
    return line


@contextmanager
def _network(of: int) -> Iterator[None]:
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter_network(of)
        try:
            yield
        finally:
            _enter_network(own)
    finally:
        os.close(own)


def _enter_network(of: int) -> None:
    """of: a process's handle, or a namespace's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(of, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "The network cannot be entered")


def _pid(handle: int) -> int:
    """The number here of the process with that handle. Raises ProcessLookupError."""
    lines = Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines()
    pid = next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))
    if pid <= 0:
        raise ProcessLookupError("The process is gone.")
    return pid


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
