"""What all measurements stand on: a private libvirt, a `pvc serve`, and images, in one folder on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.api import API
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import Serve

BLOCK = 64 << 20


@dataclass(frozen=True, slots=True)
class Ground:
    """program: the pvc that serves and is typed. rounds: of each race."""

    folder: Path
    program: Path
    libvirtd: Libvirtd
    serve: Serve
    rounds: int

    @property
    def api(self) -> API:
        return API(self.folder / "pvc.sock")

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PVC_URL": self.serve.url}

    def run(self, *words: object) -> None:
        """Run a command that reaches pvc serve, its output unseen."""
        command = [str(word) for word in words]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def new_volume(self, name: str, size: int, pool: str = "local") -> str:
        """Return it as API paths say it, POOL/VOLUME."""
        self.api.ask("POST", "/storage/ceph/volume", pool=pool, volume=name, size=str(size))
        return f"{pool}/{name}"

    def remove_volume(self, volume: str) -> None:
        self.api.ask("DELETE", f"/storage/ceph/volume/{volume}")


@contextmanager
def ground(program: Path, rounds: int) -> Iterator[Ground]:
    folder = Path(tempfile.mkdtemp(prefix="pvc-bench-", dir="/var/tmp"))  # /tmp may be memory
    folder.chmod(0o755)
    try:
        with Libvirtd() as libvirtd, Serve(folder, libvirtd.uri, program=[str(program)]) as serve:
            yield Ground(folder, program, libvirtd, serve, rounds)
    finally:
        shutil.rmtree(folder)


def random_image(path: Path, size: int) -> Path:
    """Nothing in it can be skipped or squeezed."""
    block = os.urandom(min(BLOCK, size))
    with path.open("wb") as image:
        for start in range(0, size, BLOCK):
            image.write(block[: size - start])
    return path
