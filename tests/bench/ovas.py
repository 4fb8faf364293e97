"""An OVA against `qemu-img convert` of the disk that is in it, extracted beforehand: into a folder, and into Ceph."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.bench.ceph import processors_s, serving
from tests.bench.footprint import Watch
from tests.bench.ground import Ground
from tests.bench.race import Contender, race, report
from tests.parts.ceph import POOL, Ceph
from tests.parts.ova import END, VMDK, described, header, manifest, member

_PIECE = 4 << 20


def measure(on: Ground, size: int) -> None:
    disk = _disk(on.folder, size)
    last, none = _packed(disk, size, with_manifest=True), _packed(disk, size, with_manifest=False)
    target = on.folder / "converted.raw"
    _race(on, "a folder", "local", [str(target)], (last, none), disk, [on.serve.pid])
    target.unlink()
    with Ceph() as ceph, serving(on, ceph) as ground:
        image = f"rbd:{POOL}/converted:conf={ceph.conf}:id=everywhere:keyring={ceph.folder}/keyring"
        subprocess.run(["qemu-img", "create", "-q", "-f", "raw", image, str(size)], check=True)
        _race(ground, "RBD", POOL, ["-n", image], (last, none), disk, [ground.serve.pid, ceph.osd.pid])
    for path in (disk, last, none):
        path.unlink()


def _race(
    ground: Ground, where: str, pool: str, target: list[str], ovas: tuple[Path, Path], disk: Path, daemons: list[int]
) -> None:
    typed = [ground.program, "provisioner", "ova", "upload", "app"]
    convert = ["qemu-img", "convert", "-f", "vmdk", "-O", "raw", "-t", "writeback", "-W", "-m", "16"]
    *options, image = target

    def gone() -> None:
        ground.api.ask("DELETE", "/provisioner/ova/app")

    contenders = [
        Contender("qemu-img convert of the disk alone", lambda: ground.run(*convert, *options, disk, image)),
        Contender("pvc, OVA with its manifest last", lambda: ground.run(*typed, ovas[0], "-p", pool), gone),
        Contender("pvc, OVA without a manifest", lambda: ground.run(*typed, ovas[1], "-p", pool), gone),
    ]
    watch = Watch(ground)
    race(contenders, ground.rounds, lambda: processors_s(*daemons))
    report(f"A stream-optimised VMDK of {disk.stat().st_size >> 20} MiB into {where}", contenders)
    watch.tell_peak("all of these uploads")


def _disk(folder: Path, size: int) -> Path:
    """Half of it digits, which deflate to half of their length; the other half was never written."""
    raw, vmdk = folder / "ova.raw", folder / "ova.vmdk"
    with raw.open("wb") as image:
        for _ in range(0, size // 2, _PIECE):
            image.write(os.urandom(_PIECE // 2).hex().encode())
        image.truncate(size)
    options = ["-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", *options, raw, vmdk], check=True)
    raw.unlink()
    return vmdk


def _packed(disk: Path, size: int, *, with_manifest: bool) -> Path:
    text, data = described(("disk.vmdk", VMDK), capacity=size), disk.read_bytes()
    sums = member("x.mf", manifest(x__ovf=text, disk__vmdk=data)) if with_manifest else b""
    ova = disk.with_name("last.ova" if with_manifest else "none.ova")
    with ova.open("wb") as file:
        file.write(member("x.ovf", text) + header("disk.vmdk", len(data)) + data + bytes(-len(data) % 512))
        file.write(sums + END)
    return ova
