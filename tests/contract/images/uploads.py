"""Uploads without a network: chunks, and what must hold of the pool afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from pvc.config import Upload
from pvc.images.receive import Received, receive
from pvc.storage.directory import DirectoryPool


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[offset : offset + size] for offset in range(0, len(data), size)]


async def stream(chunks: Iterable[bytes | BaseException]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, BaseException):
            raise chunk
        yield chunk


def quiet(phase: str, done: int, total: int) -> None:
    pass


async def upload(
    pool: DirectoryPool,
    chunks: Iterable[bytes | BaseException],
    declared: str = "raw",
    *,
    length: int | None = None,
    limits: Upload | None = None,
    report: Callable[[str, int, int], None] = quiet,
    qemu_img: Sequence[str] = ("qemu-img",),
) -> Received:
    return await receive(
        stream(chunks),
        declared=declared,
        pool=pool,
        volume="disk0",
        length=length,
        limits=limits or Upload(),
        report=report,
        qemu_img=qemu_img,
    )


def content(pool: DirectoryPool) -> bytes:
    return Path(pool.source("disk0").path).read_bytes()


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def is_untouched(pool: DirectoryPool) -> bool:
    """Whether the volume is as the fixture made it and nothing else is in the pool."""
    folder = Path(pool.source("disk0").path).parent
    nothing_left = os.listdir(folder / ".incoming") == [] and sorted(os.listdir(folder))[2:] == ["disk0.raw"]
    return nothing_left and content(pool).rstrip(b"\0") == b"old"
