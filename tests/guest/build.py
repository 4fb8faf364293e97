"""Makes the guest's disk image, without mounting anything and without root."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.guest import kernel

CACHE = Path(__file__).parents[2] / ".cache" / "guest"
MIB = 1 << 20
SIZE = 32 * MIB
PARTITION = MIB  # where the only one begins


@dataclass(frozen=True, slots=True)
class Guest:
    raw: Path
    qcow2: Path


def build(*, off: int = 0, crash: int = 0, deaf: int = 0, dirty: int = 0) -> Guest:
    """Return the images, built unless the cache has them.

    off, crash: power off or panic by itself after so many ticks (seconds). deaf=1: ignore the power button.
    dirty: change so many MiB of memory over and over.
    """
    wishes = {"off": off, "crash": crash, "deaf": deaf, "dirty": dirty}
    parameters = " ".join(f"{name}={value}" for name, value in wishes.items() if value)
    folder = CACHE / _fingerprint(parameters)
    if not folder.exists():
        _make(folder, parameters)
    return Guest(raw=folder / "guest.raw", qcow2=folder / "guest.qcow2")


def _fingerprint(parameters: str) -> str:
    inputs = sorted(path for path in Path(__file__).parent.iterdir() if path.is_file())
    digest = hashlib.sha256(parameters.encode())
    for path in inputs:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _make(folder: Path, parameters: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = Path(name)
        parts = _boot_files(work, kernel.fetch(CACHE), parameters)
        done = work / "done"
        done.mkdir()
        _assemble(done / "guest.raw", parts)
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", done / "guest.raw", done / "guest.qcow2")
        _keep(done, folder)


def _keep(done: Path, folder: Path) -> None:
    try:
        done.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process was first, with the same result
            raise


def _boot_files(work: Path, source: Path, parameters: str) -> list[Path]:
    config, initrd = work / "syslinux.cfg", work / "initrd"
    config.write_text(
        "SERIAL 0 115200\nDEFAULT guest\nLABEL guest\nKERNEL vmlinuz\nINITRD initrd\n"
        f"APPEND console=ttyS0 quiet {parameters}\n"
    )
    initrd.write_bytes(gzip.compress(_initramfs(work / "root", source)))
    return [source / "vmlinuz", initrd, config]


def _initramfs(root: Path, source: Path) -> bytes:
    for folder in ("bin", "proc", "sys", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(source, root / "modules", ignore=shutil.ignore_patterns("vmlinuz"))
    shutil.copy("/bin/busybox", root / "bin")
    shutil.copy(Path(__file__).parent / "init", root / "init")
    (root / "init").chmod(0o755)
    names = "\0".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    archive = ["cpio", "--quiet", "--null", "--create", "--format=newc", "--owner=0:0"]
    return subprocess.run(archive, cwd=root, input=names.encode(), capture_output=True, check=True).stdout


def _assemble(image: Path, files: list[Path]) -> None:
    """One bootable FAT partition with syslinux in it."""
    with image.open("wb") as disk:
        disk.truncate(SIZE)
    _run("/sbin/sfdisk", "--quiet", image, text="start=1MiB, type=c, bootable\n")
    _run("/sbin/mkfs.vfat", "--offset", str(PARTITION // 512), image, str((SIZE - PARTITION) // 1024))
    _run("syslinux", "--install", "--offset", str(PARTITION), image)
    with image.open("r+b") as disk:
        disk.write(Path("/usr/lib/syslinux/mbr/mbr.bin").read_bytes())
    _run("mcopy", "-i", f"{image}@@{PARTITION}", *files, "::/")


def _run(*command: str | Path, text: str | None = None) -> None:
    subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
