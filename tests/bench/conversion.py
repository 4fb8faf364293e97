"""Upload of a qcow2 image against `qemu-img convert` of the same file: into a folder, and into Ceph."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.ceph import processors_s, serving
from tests.bench.footprint import Watch
from tests.bench.ground import Ground, random_image
from tests.bench.race import Contender, race, report
from tests.parts.ceph import POOL, Ceph

_CONVERT = ("qemu-img", "convert", "-f", "qcow2", "-O", "raw")


def measure(on: Ground, size: int) -> None:
    qcow2, target = _image(on.folder, size), on.folder / "converted.raw"
    plain = Contender("qemu-img convert", lambda: on.run(*_CONVERT, qcow2, target))
    synced = Contender("qemu-img convert, synced", lambda: on.run(*_CONVERT, "-t", "writeback", qcow2, target))
    _race(on, "local", [synced, plain], qcow2, size, [on.serve.pid])
    target.unlink()
    with Ceph() as ceph, serving(on, ceph) as ground:
        image = f"rbd:{POOL}/converted:conf={ceph.conf}:id=everywhere:keyring={ceph.folder}/keyring"
        subprocess.run(["qemu-img", "create", "-q", "-f", "raw", image, str(size)], check=True)
        direct = Contender(
            "qemu-img convert -n -W -m 16 into rbd:",
            lambda: ground.run(*_CONVERT, "-n", "-W", "-m", "16", qcow2, image),
        )
        _race(ground, POOL, [direct], qcow2, size, [ground.serve.pid, ceph.osd.pid])
    qcow2.unlink()


def _race(
    ground: Ground, pool: str, references: Sequence[Contender], qcow2: Path, size: int, daemons: list[int]
) -> None:
    volume = ground.new_volume("convert", size, pool)
    typed = [ground.program, "storage", "volume", "upload", pool, "convert", qcow2]
    contenders = [
        *references,
        Contender("pvc, request body (sendfile)", lambda: ground.api.upload(volume, qcow2, "qcow2")),
        Contender("pvc storage volume upload", lambda: ground.run(*typed)),
    ]
    watch = Watch(ground)
    race(contenders, ground.rounds, lambda: processors_s(*daemons))
    title = f"Upload of a qcow2 image of {size >> 20} MiB, half of it random, into pool {pool}"
    report(title, contenders, qcow2.stat().st_size)
    watch.tell_peak("all of these uploads")
    ground.remove_volume(volume)


def _image(folder: Path, size: int) -> Path:
    """Half of it is random, the other half was never written."""
    raw, qcow2 = random_image(folder / "half.raw", size // 2), folder / "half.qcow2"
    with raw.open("r+b") as image:
        image.truncate(size)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    raw.unlink()
    return qcow2
