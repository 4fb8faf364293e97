"""One machine for a whole file of scenarios: libvirt, `pvc serve` and a shell."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machine.shell import Shell
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import Serve


@dataclass(frozen=True, slots=True)
class Machine:
    libvirtd: Libvirtd
    serve: Serve
    shell: Shell


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, for sockets lie in it; open to QEMU's user."""
    made = Path(tempfile.mkdtemp(prefix="pvc-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def machine(libvirtd: Libvirtd, folder: Path) -> Iterator[Machine]:
    quick = "interval_s = 2.0\nshutdown_timeout_s = 60.0\n"  # [agent] is the last table of the configuration
    with Serve(folder, libvirtd.uri, extra=quick) as serve:
        yield Machine(libvirtd, serve, Shell(serve.url))
        for name in libvirtd.guests():
            libvirtd.kill_guest(name)
