"""A pool in Ceph: upload of a raw image, with and without a hole, against `rbd import -`; a list of many volumes
against `rbd ls -l`. One monitor, one manager, one OSD on a sparse file, all of this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import rbd

from tests.bench.footprint import Watch
from tests.bench.ground import Ground, random_image
from tests.bench.race import Contender, race, report
from tests.bench.uploads import curl
from tests.parts.ceph import POOL, Ceph
from tests.parts.serve import Serve

CONFIG = """
[ceph]
conf = "{ceph.conf}"
user = "everywhere"
keyring = "{ceph.folder}/keyring"
list_age_s = {list_age_s}
"""


def measure(on: Ground, size: int, volumes: int) -> None:
    with Ceph() as ceph:
        with serving(on, ceph) as ground:
            _upload(ground, ceph, size, size // 2, "half of it a hole")
            _upload(ground, ceph, size, size, "no hole in it")
        with serving(on, ceph) as ground:
            _list(ground, ceph, volumes)


@contextlib.contextmanager
def serving(on: Ground, ceph: Ceph) -> Iterator[Ground]:
    """Another `pvc serve`, in a folder of its own."""
    folder = on.folder / "ceph"
    folder.mkdir(exist_ok=True)
    extra = CONFIG.format(ceph=ceph, list_age_s=3600)
    with Serve(folder, on.libvirtd.uri, program=[str(on.program)], extra=extra) as serve:
        yield replace(on, folder=folder, serve=serve)


def _upload(ground: Ground, ceph: Ceph, size: int, data: int, holes: str) -> None:
    image = random_image(ground.folder / "image.raw", data)
    os.truncate(image, size)
    _warm(image)
    imported, volume = f"{POOL}/imported", f"{POOL}/upload"
    ground.api.ask("POST", f"/storage/ceph/volume/{volume}", size=str(size))

    def afresh() -> None:
        """As `rbd import` has it: what the volume held before is not removed in the time of the upload."""
        ground.api.ask("DELETE", f"/storage/ceph/volume/{volume}")
        ground.api.ask("POST", f"/storage/ceph/volume/{volume}", size=str(size))

    contenders = [
        Contender(
            "rbd import - of the same file",
            lambda: _rbd(ceph, "import", "--no-progress", "-", imported, stdin=image),
            lambda: _rbd(ceph, "rm", "--no-progress", imported),
        ),
        Contender("pvc, request body (sendfile)", lambda: ground.api.upload(volume, image, "raw"), afresh),
        Contender(
            "pvc storage volume upload", lambda: ground.run(ground.program, *_TYPED, POOL, "upload", image), afresh
        ),
    ]
    if shutil.which("curl"):
        contenders.append(Contender("pvc, curl -T", lambda: curl(ground, volume, image), afresh))
    watch = Watch(ground)
    race(contenders, ground.rounds, lambda: processors_s(ground.serve.pid, ceph.osd.pid))
    report(f"Upload of {size >> 20} MiB, {holes}, into RBD; processors of client, server and OSD", contenders, size)
    watch.tell_peak("all of these uploads")
    ground.api.ask("DELETE", f"/storage/ceph/volume/{volume}")
    image.unlink()


_TYPED = ("storage", "volume", "upload")


def _list(ground: Ground, ceph: Ceph, volumes: int) -> None:
    with ceph.admin() as admin, contextlib.closing(admin.open_ioctx(POOL)) as pool, ThreadPoolExecutor(8) as threads:
        names = [f"disk{number:05}" for number in range(volumes)]
        list(threads.map(lambda name: rbd.RBD().create(pool, name, 1 << 30, order=22, features=61), names))
    cold = Contender("pvc, nothing known yet", lambda: _ask_all(ground))
    race([cold], 1)
    contenders = [
        Contender("rbd ls -l", lambda: _rbd(ceph, "ls", "-l", POOL)),
        Contender("rbd du", lambda: _rbd(ceph, "du", "-p", POOL)),
        Contender("pvc, warm", lambda: _ask_all(ground)),
    ]
    race(contenders, ground.rounds)
    cold.seconds *= ground.rounds
    report(f"List of {volumes} volumes in RBD with their sizes and usage", [*contenders, cold])


def _ask_all(ground: Ground) -> None:
    ground.api.ask("GET", f"/storage/ceph/volume?pool={POOL}")


def _rbd(ceph: Ceph, *words: str, stdin: Path | None = None) -> None:
    line = ["rbd", "-c", str(ceph.conf), "--user", "everywhere", "--keyring", str(ceph.folder / "keyring"), *words]
    with open(stdin or os.devnull, "rb") as source:
        subprocess.run(line, stdin=source, check=True, capture_output=True)


def processors_s(*daemons: int) -> float:
    """Theirs, and that of all clients so far."""
    return sum(map(_processor_s, daemons)) + sum(os.times()[:4])


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _warm(image: Path) -> None:
    """Have it in memory, so that nobody pays for the first reading."""
    with image.open("rb") as file:
        while file.read(1 << 26):
            pass
