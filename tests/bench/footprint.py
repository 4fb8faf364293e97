"""What an upload costs the machine: peak memory of `pvc serve`, and what it writes where."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from tests.bench.ground import Ground, random_image

MIB = 1 << 20


def measure(ground: Ground, size: int) -> None:
    """Three uploads of `size` bytes; the source is a quarter of that, sent four times."""
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
        self._before = self._files_outside()
        self._seen: set[str] = set()

    def look(self) -> None:
        """Note which files outside of the pool the process has open for writing."""
        for link in (self._proc / "fd").iterdir():
            target = _file_open_for_writing(self._proc, link)
            if target and not target.startswith(f"{self._ground.serve.pool}/"):
                self._seen.add(target)

    def report(self, name: str, size: int) -> None:
        own = {str(self._ground.folder / file) for file in ("pvc.db", "pvc.db-wal", "pvc.db-shm", "serve.log")}
        grown = {path: now - self._before.get(path, 0) for path, now in self._files_outside().items()}
        strange = sum(max(grown.get(path, 0), 0) for path in grown if path not in own)
        print(f"  {name}: peak memory {self._peak() / MIB:.0f} MiB")
        print(f"  {name}: {strange} bytes of the image outside of the pool; open elsewhere: {self._elsewhere(own)}")
        extra = self._bytes_written() - self._written - size
        print(f"  {name}: written in all, beyond the image: {extra / MIB:+.1f} MiB (records, file system)", flush=True)

    def _elsewhere(self, own: set[str]) -> str:
        return ", ".join(sorted(self._seen - own)) or "nothing but store and log"

    def _files_outside(self) -> dict[str, int]:
        """Sizes of the files that the process could have used instead of the pool."""
        places = [self._ground.folder, Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]
        found: dict[str, int] = {}
        for place in places:
            for folder, _, names in os.walk(place):
                if not Path(folder).is_relative_to(self._ground.serve.pool):
                    found |= {path: size for name in names if (size := _size(path := f"{folder}/{name}")) is not None}
        return found

    def _peak(self) -> int:
        """Bytes."""
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))

    def _bytes_written(self) -> int:
        lines = (self._proc / "io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def _size(path: str) -> int | None:
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return None
    return info.st_blocks * 512 if stat.S_ISREG(info.st_mode) else None


def _file_open_for_writing(proc: Path, link: Path) -> str:
    try:
        target = os.readlink(link)
        flags = int((proc / "fdinfo" / link.name).read_text().split("flags:")[1].split()[0], 8)
        is_file = stat.S_ISREG(os.stat(link).st_mode)
    except FileNotFoundError:
        return ""
    return target if is_file and flags & os.O_ACCMODE else ""
