"""Uploads without a network: chunks, and what must hold of the pool afterwards."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from pvc.config import Upload
from pvc.images.receive import Received, receive
from pvc.storage.base import Pool
from tests.contract.storage.harness import Harness


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
    pool: Pool,
    chunks: Iterable[bytes | BaseException],
    declared: str = "raw",
    *,
    length: int | None = None,
    limits: Upload | None = None,
    report: Callable[[str, int, int], None] = quiet,
    checksum: str | None = "",
    verify: bool = False,
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
        checksum=checksum,
        verify=verify,
        qemu_img=qemu_img,
    )


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


async def is_untouched(pool: Pool, harness: Harness) -> bool:
    """Whether the volume is as the fixture made it and nothing else is in the pool."""
    nothing_left = await harness.hidden() == [] and [volume.name for volume in await pool.volumes()] == ["disk0"]
    return nothing_left and harness.content("disk0").rstrip(b"\0") == b"old"
