"""What the suite needs from a kind of pool besides the pool itself."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from pvc.storage.base import Pool, Snapshots
from pvc.storage.directory import DirectoryPool, open_directory
from pvc.units import KIB


class AnyPool(Pool, Snapshots, Protocol):
    """A pool that can do everything."""


class Harness(Protocol):
    grain: int  # bytes: what is written may take up to this much more at each of its ends

    refuses_snapshots_in_use: bool

    async def open(self) -> AnyPool: ...

    def content(self, volume: str) -> bytes: ...

    def fill(self, volume: str, data: bytes, offset: int = 0) -> None:
        """Write as a guest would have."""
        ...

    async def hidden(self) -> list[str]:
        """Names of drafts and scratch space, whoever left them, once our own pools have removed what they were at."""
        ...

    def held(self, volume: str) -> AbstractContextManager[object]:
        """Have it open as a guest does."""
        ...

    def read(self, path: str) -> bytes:
        """What another program finds under a draft's path."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write at the beginning, as another program."""
        ...


class DirectoryHarness:
    grain = 128 * KIB
    refuses_snapshots_in_use = True

    def __init__(self, path: Path) -> None:
        self.path = path

    async def open(self) -> DirectoryPool:
        return await open_directory("local", self.path)

    def content(self, volume: str) -> bytes:
        return (self.path / f"{volume}.raw").read_bytes()

    def fill(self, volume: str, data: bytes, offset: int = 0) -> None:
        fd = os.open(self.path / f"{volume}.raw", os.O_RDWR)
        try:
            os.pwrite(fd, data, offset)
            os.fsync(fd)  # blocks are counted when they are on disk
        finally:
            os.close(fd)

    async def hidden(self) -> list[str]:
        return sorted(os.listdir(self.path / ".incoming"))

    def held(self, volume: str) -> AbstractContextManager[object]:
        return _locked_like_qemu(self.path / f"{volume}.raw")

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        with open(path, "r+b") as file:
            file.write(data)


@contextmanager
def _locked_like_qemu(path: Path) -> Iterator[None]:
    """Hold what QEMU 7.2 holds on a disk of a running guest, and nothing more: shared locks on bytes 100 and 101."""
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 2, 0))
        yield
    finally:
        os.close(fd)
