"""Process 1 of a lab: starts what it is asked to, reaps every orphan, and takes everything with it when it ends.

Its arguments are the lab's folder, a listening socket and a pipe, both as numbers of open files. When the pipe is
closed (whoever made the lab is gone) it ends; `KEEP` in the pipe says that the lab outlives that.

One connection is one question, a JSON object:
    {"command": [...], "log": FILE, "environment": {...}}   (what is added to our own)
                answered {"pid": N} with a pidfd of the new process; then {"stopped": true} whenever it stops,
                and {"code": N} once it is gone
    {"pid": N}  answered the same way for a process that is there
    {}          end; the connection is closed when all is gone, the folder too
A refusal is {"problem": "..."}.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

KEEP = b"keep"
MOST_BYTES = 1 << 17  # of a question


class Init:
    def __init__(self, listener: socket.socket, pipe: int) -> None:
        self._listener, self._pipe = listener, pipe
        self._askers: dict[int, socket.socket] = {}
        self._ending = False
        self._last: socket.socket | None = None  # who asked for the end
        self._deaths, deaths = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(deaths, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def serve(self) -> None:
        """Return when it is to end."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._listener, selectors.EVENT_READ, self._answer)
            waiting.register(self._deaths, selectors.EVENT_READ, self._reap)
            waiting.register(self._pipe, selectors.EVENT_READ, lambda: self._hear(waiting))
            while not self._ending:
                for key, _ in waiting.select():
                    key.data()

    def _hear(self, waiting: selectors.BaseSelector) -> None:
        if os.read(self._pipe, len(KEEP)) == KEEP:
            waiting.unregister(self._pipe)
        else:
            self._ending = True

    def _answer(self) -> None:
        asker, _ = self._listener.accept()
        asked = json.loads(asker.recv(MOST_BYTES) or "{}")
        if not asked:
            self._last, self._ending = asker, True
            return
        try:
            pid = asked["pid"] if "pid" in asked else _start(asked)
            handle = os.pidfd_open(pid)
        except OSError as exc:
            _tell(asker, {"problem": str(exc)})
            return
        socket.send_fds(asker, [json.dumps({"pid": pid}).encode()], [handle])
        os.close(handle)
        if "command" in asked:
            self._askers[pid] = asker

    def _reap(self) -> None:
        os.read(self._deaths, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG | os.WUNTRACED))[0]:
                self._note(*ended)

    def _note(self, pid: int, status: int) -> None:
        if os.WIFSTOPPED(status):
            if pid in self._askers:
                _tell(self._askers[pid], {"stopped": True})
        elif asker := self._askers.pop(pid, None):
            _tell(asker, {"code": os.waitstatus_to_exitcode(status)})


def _start(asked: dict[str, Any]) -> int:
    words = asked["command"]
    appended = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, asked["log"], appended, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    usual = [signal.SIGPIPE, signal.SIGXFSZ]  # Python ignores them
    return os.posix_spawnp(
        words[0],
        words,
        os.environ | asked["environment"],
        file_actions=files,
        setsid=True,
        setsigdef=usual,
        setsigmask=[],
    )


def _tell(asker: socket.socket, what: dict[str, object]) -> None:
    with suppress(OSError):  # it may have gone
        asker.send(json.dumps(what).encode())


def _end_all() -> None:
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def main() -> None:
    folder, listener, pipe = sys.argv[1], socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])
    os.set_inheritable(listener.fileno(), False)
    os.set_inheritable(pipe, False)
    try:
        Init(listener, pipe).serve()
    finally:
        _end_all()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
