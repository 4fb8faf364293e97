"""Debian's kernel for cloud guests, taken out of its package without installing it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

# In the order in which they must be inserted.
MODULES = (
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/input/evdev",
    "drivers/acpi/button",
    "drivers/misc/pvpanic/pvpanic",
    "drivers/misc/pvpanic/pvpanic-mmio",
)


def fetch(cache: Path) -> Path:
    """Return a folder with `vmlinuz`, the modules and their `order`; downloads only when it is not there yet."""
    kernel = cache / "kernel"
    if not kernel.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            unpacked = _unpack(_download(Path(folder)))
            unpacked.rename(kernel)
    return kernel


def _download(folder: Path) -> Path:
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", _package()], cwd=folder, check=True)
    return next(folder.glob("*.deb"))


def _package() -> str:
    """The metapackage depends on the one that holds the kernel."""
    name = _dependency()
    if name is None:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        name = _dependency()
    if name is None:
        raise SystemExit("Debian's package linux-image-cloud-amd64 cannot be found: look at APT's sources.")
    return name


def _dependency() -> str | None:
    answer = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True)
    found = re.search(r"Depends: (linux-image-\S+)", answer.stdout)
    return found[1] if found else None


def _unpack(package: Path) -> Path:
    root, kept = package.parent / "root", package.parent / "kept"
    subprocess.run(["dpkg", "-x", package, root], check=True)
    kept.mkdir()
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), kept / "vmlinuz")
    tree = next((root / "lib/modules").iterdir()) / "kernel"
    for module in MODULES:
        shutil.copy(tree / f"{module}.ko", kept)
    (kept / "order").write_text("".join(f"{Path(module).name}\n" for module in MODULES))
    return kept
