"""An upload over a line that breaks, as a person at a shell meets it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pvc.units import MIB
from tests.machine.conftest import Machine
from tests.machine.shell import Shell

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


class Line:
    """Passes bytes on to a server. breaks: after how many of them a connection breaks, each once."""

    def __init__(self, server: str, folder: Path, *breaks: int) -> None:
        self._server, self._breaks = server, list(breaks)
        self._door = socket.create_server(str(folder / "line.sock"), family=socket.AF_UNIX)
        self.url = f"unix:{folder}/line.sock"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._pass_on, args=(client,)).start()

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        Path(self.url.removeprefix("unix:")).unlink()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server.removeprefix("unix:"))
            back = threading.Thread(target=_copy, args=(server, client, -1))
            back.start()
            most = self._breaks[0] if self._breaks else -1
            if _copy(client, server, most) == most:
                self._breaks.pop(0)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()


def _copy(source: socket.socket, target: socket.socket, most: int) -> int:
    """Return how many bytes; most: -1 for all."""
    done = 0
    with suppress(OSError):
        while done != most and (data := source.recv(min(65536, most - done) if most > 0 else 65536)):
            target.sendall(data)
            done += len(data)
    return done


@contextmanager
def line(machine: Machine, folder: Path, *breaks: int) -> Iterator[Shell]:
    made = Line(machine.shell.url, folder, *breaks)
    serving = threading.Thread(target=made.serve)
    serving.start()
    try:
        yield Shell(made.url, machine.shell.pool)
    finally:
        made.close()
        serving.join()


def test_an_upload_over_a_line_that_breaks_is_whole(machine: Machine, folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(os.urandom(20 * MIB) + bytes(8 * MIB) + os.urandom(4 * MIB))
    machine.shell.do("storage", "volume", "add", machine.shell.pool, "far", "32M")
    with line(machine, folder, 3 * MIB, 9 * MIB + 7) as shell:
        said = shell.run("storage", "volume", "upload", shell.pool, "far", str(image), "--verify")
    assert said.code == 0, said.err
    assert machine.content("far") == image.read_bytes()
    assert machine.leftovers() == []
    machine.shell.do("storage", "volume", "remove", machine.shell.pool, "far", "-y")
