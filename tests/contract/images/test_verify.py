"""What was written is read back when that is asked for; what comes back otherwise never becomes the volume."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvc.config import Upload
from pvc.errors import NotAsWritten
from pvc.images.receive import receive
from pvc.images.sparse import Hole
from pvc.storage.base import Pool
from pvc.storage.directory import DirectoryPool
from pvc.units import MIB
from tests.contract.images.conftest import SIZE
from tests.contract.images.uploads import pieces, quiet, run, upload
from tests.contract.storage.harness import AnyPool, Harness

DATA = (random.Random(3).randbytes(5 * MIB - 7) + bytes(MIB) + b"end").ljust(7 * MIB, b"\0")


async def with_holes() -> AsyncIterator[bytes | Hole]:
    yield Hole(MIB)
    yield b"data" * 1000
    yield Hole(SIZE - MIB - 4000)


async def verified(
    pool: Pool, chunks: AsyncIterator[bytes | Hole], declared: str = "raw", *, length: int | None = None
) -> None:
    await receive(
        chunks,
        declared=declared,
        pool=pool,
        volume="disk0",
        length=length,
        limits=Upload(),
        report=quiet,
        verify=True,
    )


async def test_what_was_written_right_is_taken(pool: AnyPool, harness: Harness) -> None:
    await upload(pool, pieces(DATA, 100_000), verify=True)
    assert harness.content("disk0") == DATA.ljust(SIZE, b"\0")
    await verified(pool, with_holes(), length=SIZE)
    assert harness.content("disk0") == (bytes(MIB) + b"data" * 1000).ljust(SIZE, b"\0")


def qcow2(folder: Path, *options: str) -> bytes:
    raw, image = folder / "made.raw", folder / "made.qcow2"
    raw.write_bytes(DATA)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, image)
    return image.read_bytes()


@pytest.fixture
def for_qemu_img(tmp_path: Path) -> bytes:
    return qcow2(tmp_path, "-o", "extended_l2=on")


@pytest.mark.real
@pytest.mark.parametrize("options", [(), ("-c",), ("-W",)])
async def test_what_was_decoded_right_is_taken(
    pool: AnyPool, harness: Harness, tmp_path: Path, options: tuple[str, ...]
) -> None:
    await upload(pool, pieces(qcow2(tmp_path, *options), 100_000), "qcow2", verify=True)
    assert harness.content("disk0") == DATA.ljust(SIZE, b"\0")


@pytest.mark.real
async def test_what_was_decoded_wrong_never_becomes_the_volume(directory: DirectoryPool, tmp_path: Path) -> None:
    with pytest.raises(NotAsWritten):
        await verified(directory, damaging(directory, pieces(qcow2(tmp_path), 100_000)), "qcow2")
    assert Path(directory.source("disk0").path).read_bytes().rstrip(b"\0") == b"old"


@pytest.mark.real
async def test_what_was_converted_right_is_taken(pool: AnyPool, harness: Harness, for_qemu_img: bytes) -> None:
    told: list[str] = []
    await upload(pool, [for_qemu_img], "qcow2", verify=True, report=lambda phase, _done, _all: told.append(phase))
    assert harness.content("disk0") == DATA.ljust(SIZE, b"\0")
    assert list(dict.fromkeys(told)) == ["receiving", "converting", "verifying"]


async def damaging(pool: DirectoryPool, chunks: list[bytes]) -> AsyncIterator[bytes]:
    """All of `chunks`, and a byte that nobody sent where they have a hole."""
    for chunk in chunks:
        yield chunk
    (draft,) = await pool.unfinished()
    await asyncio.to_thread(_overwrite, Path(pool.source("disk0").path).parent / ".incoming" / draft)


def _overwrite(file: Path) -> None:
    with file.open("r+b") as writing:
        writing.seek(SIZE - 1)
        writing.write(b"x")


async def test_what_was_written_wrong_never_becomes_the_volume(directory: DirectoryPool) -> None:
    with pytest.raises(NotAsWritten) as exc:
        await verified(directory, damaging(directory, pieces(DATA, 100_000)))
    assert str(exc.value) == (
        'What was written for volume "local/disk0" reads back otherwise; the volume keeps its old content.'
    )
    assert Path(directory.source("disk0").path).read_bytes().rstrip(b"\0") == b"old"
    assert await directory.unfinished() == {}


@pytest.mark.real
async def test_what_was_converted_wrong_never_becomes_the_volume(directory: DirectoryPool, for_qemu_img: bytes) -> None:
    damage = "printf x | dd of=/out bs=1 seek=6291456 conv=notrunc status=none"
    script = f'qemu-img "$@" && if [ "$1" = convert ]; then {damage}; fi'
    with pytest.raises(NotAsWritten):
        await upload(directory, [for_qemu_img], "qcow2", verify=True, qemu_img=("sh", "-c", script, "sh"))
    assert Path(directory.source("disk0").path).read_bytes().rstrip(b"\0") == b"old"
