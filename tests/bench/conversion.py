"""Upload of a qcow2 image against `qemu-img convert` of the same file into a raw file beside the pool."""

from __future__ import annotations

import subprocess

from tests.bench.ground import Ground, random_image
from tests.bench.race import Contender, race, report


def measure(ground: Ground, size: int) -> None:
    """Half of the image is random, the other half was never written."""
    raw = random_image(ground.folder / "half.raw", size // 2)
    with raw.open("r+b") as image:
        image.truncate(size)
    qcow2, target = ground.folder / "half.qcow2", ground.folder / "converted.raw"
    convert = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    raw.unlink()
    volume = ground.new_volume("convert", size)
    contenders = [
        Contender("qemu-img convert, synced", lambda: ground.run(*convert, "-t", "writeback", qcow2, target)),
        Contender("qemu-img convert", lambda: ground.run(*convert, qcow2, target)),
        Contender("pvc, request body (sendfile)", lambda: ground.api.upload(volume, qcow2, "qcow2")),
    ]
    race(contenders, ground.rounds)
    report(f"Upload of a qcow2 image of {size >> 20} MiB, half of it random", contenders, qcow2.stat().st_size)
    ground.remove_volume(volume)
    target.unlink()
    qcow2.unlink()
