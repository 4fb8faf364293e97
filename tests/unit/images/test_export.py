"""Images that are made while they are sent, from a content that is told to them."""

from __future__ import annotations

import random
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvc.images import export, qcow2header
from pvc.images.body import Body
from pvc.images.qcow2writer import CLUSTER, Layout
from pvc.images.sparse import TOO_SHORT, Hole, unframed
from pvc.units import GIB, KIB, MIB, TIB


class Known:
    """Content, of which `stretches` are data."""

    def __init__(self, disk: bytes, stretches: Sequence[tuple[int, int]]) -> None:
        self._disk, self._stretches = disk, stretches

    async def size(self) -> int:
        return len(self._disk)

    async def stretches(self) -> Sequence[tuple[int, int]]:
        return self._stretches

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        for at in range(start, end, 100_000):
            yield self._disk[at : min(at + 100_000, end)]


def content(size: int, *stretches: tuple[int, int]) -> tuple[Known, bytes]:
    disk = bytearray(size)
    for start, end in stretches:
        disk[start:end] = random.Random(start).randbytes(end - start)
    return Known(bytes(disk), stretches), bytes(disk)


DISKS = {
    "empty": content(8 * MIB),
    "full": content(MIB, (0, MIB)),
    "with holes": content(8 * MIB, (4096, 8192), (MIB, MIB + 4096), (MIB + 8192, 3 * MIB), (7 * MIB, 8 * MIB)),
    "odd end": content(MIB + 4096, (MIB, MIB + 4096)),
}
disks = pytest.mark.parametrize("name", DISKS)


async def whole(image: export.Export) -> bytes:
    data = b"".join([chunk async for chunk in image.chunks])
    assert len(data) == image.length
    return data


@disks
async def test_raw_is_the_disk(name: str) -> None:
    known, disk = DISKS[name]
    assert await whole(await export.raw(known)) == disk


@disks
async def test_frames_are_the_disk_for_whoever_takes_uploads(name: str) -> None:
    known, disk = DISKS[name]
    image = await export.without_holes(known)
    chunks = [chunk async for chunk in unframed(Body(image.chunks, TOO_SHORT), len(disk))]
    assert b"".join(bytes(len(chunk)) if isinstance(chunk, Hole) else chunk for chunk in chunks) == disk


@pytest.mark.real
@disks
async def test_qcow2_is_sound_and_holds_the_disk(name: str, tmp_path: Path) -> None:
    known, disk = DISKS[name]
    image = await whole(await export.qcow2(known))
    (tmp_path / "image").write_bytes(image)
    check(tmp_path / "image")
    assert converted(tmp_path / "image") == disk


def check(image: Path) -> None:
    checked = subprocess.run(["qemu-img", "check", "-f", "qcow2", image], capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")


def converted(image: Path) -> bytes:
    raw = image.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], check=True)
    return raw.read_bytes()


@pytest.mark.real
@pytest.mark.parametrize("kept", [(0, 3 * GIB), (600 * GIB, 603 * GIB)])
def test_the_tables_of_a_large_disk_are_sound(kept: tuple[int, int], tmp_path: Path) -> None:
    layout = Layout(TIB, [kept, (TIB - 4096, TIB)])
    with (tmp_path / "image").open("wb") as file:
        file.writelines(layout.metadata())
        file.truncate(layout.length)
    check(tmp_path / "image")


@given(
    st.integers(1, 64 * TIB).map(lambda size: size * 4096 % (64 * TIB) + 4096),
    st.lists(st.integers(0, 1 << 50), max_size=8),
)
def test_a_layout_is_one_that_we_would_take(size: int, edges: list[int]) -> None:
    ends = sorted({edge % size // 4096 * 4096 for edge in edges})
    stretches = [(start, min(start + 64 * KIB, size)) for start in ends]
    merged = [pair for pair in stretches if pair[0] < pair[1]]
    layout = Layout(size, merged)
    head = next(layout.metadata())
    assert qcow2header.read(head, layout.length).size == size
    assert all(start % CLUSTER == 0 and end % CLUSTER == 0 for start, end in layout.data)
