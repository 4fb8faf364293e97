"""What an upload costs the machine: peak memory of `pvc serve`, and what it writes where."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from tests.bench.ground import Ground, random_image

MIB = 1 << 20


def measure(ground: Ground, size: int) -> None:
    """An upload each way, of `size` bytes; the source is a quarter of that, sent four times."""
    image = random_image(ground.folder / "quarter.raw", size // 4)
    volume = ground.new_volume("footprint", size)
    print(f"\nOne upload of {size >> 20} MiB, seen from outside (pid {ground.serve.pid})")
    ways: dict[str, Callable[..., None]] = {"request body": ground.api.upload, "form field": ground.api.upload_form}
    for name, upload in ways.items():
        watch = Watch(ground)
        upload(volume, image, "raw", repeat=4, between=watch.look)
        watch.report(name, size)
    ground.remove_volume(volume)
    image.unlink()


class Watch:
    """Look at the process again and again while it works."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._proc = ground, Path(f"/proc/{ground.serve.pid}")
        (self._proc / "clear_refs").write_text("5")  # the peak begins anew; source: proc(5)
        self._written = self._bytes_written()
        self._outside: dict[str, int] = {}

    def look(self) -> None:
        """Note the files outside of the pool that the process has open for writing, and how large they became."""
        for link in (self._proc / "fd").iterdir():
            target, size = _file_open_for_writing(self._proc, link)
            if target and not target.startswith(f"{self._ground.serve.pool}/"):
                self._outside[target] = max(size, self._outside.get(target, 0))

    def report(self, name: str, size: int) -> None:
        extra = self._bytes_written() - self._written - size
        self.tell_peak(name)
        print(f"  {name}: {self._elsewhere()} written outside of the pool")
        print(f"  {name}: written in all, beyond the image: {extra / MIB:+.1f} MiB", flush=True)

    def tell_peak(self, name: str) -> None:
        """In MB, as the limits are said. What it maps of files, libraries above all, others map too."""
        files = self._now("RssFile")
        own = (self._now("VmHWM") - files) / 1e6
        print(f"  {name}: peak memory {own:.0f} MB of its own, and {files / 1e6:.0f} MB of files", flush=True)

    def _elsewhere(self) -> str:
        """Store and log are the server's own."""
        own = (f"{self._ground.folder}/pvc.db", str(self._ground.serve.log))
        strange = {path: size for path, size in self._outside.items() if not path.startswith(own)}
        return ", ".join(f"{size} bytes to {path}" for path, size in strange.items()) or "0 bytes of the image"

    def _now(self, figure: str) -> int:
        """Bytes."""
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{figure}:"))

    def _bytes_written(self) -> int:
        lines = (self._proc / "io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def _file_open_for_writing(proc: Path, link: Path) -> tuple[str, int]:
    """Its name, deleted or not, and the bytes it takes; an empty name when it is none."""
    try:
        target, info = os.readlink(link), os.stat(link)
        flags = int((proc / "fdinfo" / link.name).read_text().split("flags:")[1].split()[0], 8)
    except FileNotFoundError:
        return "", 0
    return (target, info.st_blocks * 512) if stat.S_ISREG(info.st_mode) and flags & os.O_ACCMODE else ("", 0)
