from __future__ import annotations

import re
import subprocess
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvc.errors import InvalidImage
from pvc.images import vmdk
from pvc.images.sparse import Hole
from pvc.units import MIB
from tests.parts.vmdk import (
    DESCRIPTION,
    DIRECTORY,
    END,
    FOOTER,
    GRAIN,
    TABLE,
    grain,
    header,
    image,
    marker,
    sector,
    stored,
    tail,
)

A, B, LAST = b"a" * GRAIN, b"b" * GRAIN, b"z" * GRAIN
DISK = bytes(GRAIN) + A + bytes(2 * GRAIN) + B + bytes(10 * GRAIN) + LAST  # 1 MiB
HONEST = image([grain(1, A), grain(4, B), grain(15, LAST)])


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def decode(data: bytes, size: int = 100_000) -> bytes:
    parts = [part async for part in vmdk.decoded(chunked(data, size))]
    return b"".join(bytes(len(part)) if isinstance(part, Hole) else part for part in parts)


@pytest.mark.parametrize("size", [1, 511, 512, 65_537, 10 * MIB])
async def test_the_disk_comes_out_whole_however_the_file_is_cut(size: int) -> None:
    assert await decode(HONEST, size) == DISK


async def test_what_no_grain_covers_is_a_hole_and_takes_no_memory() -> None:
    capacity = 1 << 62
    whole = (
        image([grain(4, B)], capacity=capacity // 512)
        .replace(marker(DIRECTORY, bytes(512)), b"")
        .replace(marker(FOOTER, sector(gdOffset=0)), marker(FOOTER, sector(gdOffset=0, capacity=capacity // 512)))
    )
    parts = [part async for part in vmdk.decoded(chunked(whole, 1000))]
    assert [type(part) for part in parts] == [Hole, bytes, Hole]
    assert sum(map(len, parts)) == capacity


async def test_an_image_without_grains_is_zeroes() -> None:
    assert await decode(image([])) == bytes(MIB)


async def test_the_last_grain_may_be_stored_whole_or_up_to_the_capacity() -> None:
    changes: dict[str, Any] = {"capacity": 2048 - 127}
    end = tail().replace(sector(gdOffset=0), sector(gdOffset=0, **changes))
    for data in (LAST, LAST[:512]):
        assert await decode(header(**changes) + grain(15, data) + end) == bytes(15 * GRAIN) + LAST[:512]


async def test_zeroes_behind_the_end_marker_are_passed_over() -> None:
    assert await decode(HONEST + bytes(100_000)) == DISK


def qemu_made(tmp_path: Path, disk: bytes) -> bytes:
    (tmp_path / "disk.raw").write_bytes(disk)
    made = tmp_path / "disk.vmdk"
    convert = ("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized")
    subprocess.run([*convert, tmp_path / "disk.raw", made], check=True)
    return made.read_bytes()


@pytest.mark.real
async def test_what_qemu_makes_is_read_although_it_has_no_end_marker(tmp_path: Path) -> None:
    disk = bytes(3 * MIB) + bytes(range(256)) * 4096 + bytes(MIB) + b"end".ljust(1536, b"!")
    assert await decode(qemu_made(tmp_path, disk)) == disk


@pytest.mark.real
async def test_a_cut_image_of_qemu_is_refused_at_every_sector(tmp_path: Path) -> None:
    made = qemu_made(tmp_path, A + B + bytes(MIB) + LAST)
    for length in range(0, len(made.rstrip(b"\0")), 512):
        with pytest.raises(InvalidImage):
            await decode(made[:length], MIB)


@pytest.mark.real
async def test_an_image_of_qemu_with_a_grain_lost_to_zeroes_is_refused(tmp_path: Path) -> None:
    made = qemu_made(tmp_path, A + B + LAST)
    lost = made[: 128 * 512].ljust(len(made), b"\0")
    with pytest.raises(InvalidImage, match="it has 0 grains, its tables have 3"):
        await decode(lost)


async def test_a_cut_image_is_refused_wherever_it_is_cut() -> None:
    for length in (*range(0, len(HONEST), 173), len(HONEST) - 1, len(HONEST) - 512):
        with pytest.raises(InvalidImage):
            await decode(HONEST[:length], MIB)


def bomb(length: int) -> bytes:
    return zlib.compress(bytes(length), 9)


@pytest.mark.parametrize(
    ("grains", "said"),
    [
        ([grain(4, B), grain(1, A)], "grain at 65536 is out of order"),
        ([grain(4, B), grain(4, B)], "grain at 262144 is out of order"),
        ([grain(16, A)], "a grain at 1048576, where none can be"),
        ([stored((1 << 64) - 128, zlib.compress(A))], "where none can be"),
        ([stored(64, zlib.compress(A))], "a grain at 32768, where none can be"),
        ([grain(1, A, size=0xFFFFFFFF)], "takes 4294967295 bytes"),
        ([grain(1, A, size=2 * GRAIN + 1)], "takes 131073 bytes"),
        ([grain(1, A + b"x")], "grain at 65536 holds more than the 65536 bytes"),
        ([stored(128, bomb(64 * MIB))], "grain at 65536 holds more than"),
        ([grain(1, A[:-1])], "grain at 65536 is damaged"),
        ([grain(1, b"")], "grain at 65536 is damaged"),
        ([grain(1, A, size=40)], "grain at 65536 is damaged"),
        ([stored(128, b"no deflate")], "grain at 65536 is damaged"),
        ([stored(128, zlib.compress(A)[:-1] + b"?")], "grain at 65536 is damaged"),
        ([marker(4, bytes(512))], "a marker of the kind 4 with 1 sectors"),
        ([marker(TABLE, bytes(5 * 512))], "a marker of the kind 1 with 5 sectors"),
        ([marker(TABLE, sectors=1 << 63)], "a marker of the kind 1 with 9223372036854775808 sectors"),
        ([marker(DIRECTORY, bytes(1024))], "a marker of the kind 2 with 2 sectors"),
        ([marker(FOOTER, sector(capacity=4096))], "its footer does not describe"),
        ([marker(FOOTER, sector(grainSize=256))], "its footer does not describe"),
        ([marker(FOOTER, bytes(512))], "its footer does not describe"),
        ([marker(END), b"x"], "goes on after its end marker"),
    ],
)
async def test_grains_and_markers_that_lie_are_refused(grains: Iterable[bytes], said: str) -> None:
    with pytest.raises(InvalidImage, match=re.escape(said)) as exc:
        await decode(image(grains))
    assert str(exc.value).count(".") == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"capacity": 0}, "virtual size is zero"),
        ({"capacity": (1 << 63) // 512}, "cannot be"),
        ({"capacity": (1 << 64) - 1}, "cannot be"),
        ({"grainSize": 0}, "grains of 0 sectors"),
        ({"grainSize": 4}, "grains of 4 sectors"),
        ({"grainSize": 100}, "grains of 100 sectors"),
        ({"grainSize": 1 << 63}, "grains of 9223372036854775808 sectors"),
        ({"numGTEsPerGT": 0}, "grain tables of 0 entries"),
        ({"numGTEsPerGT": 0xFFFFFFFF}, "grain tables of 4294967295 entries"),
        ({"overHead": 0}, "cannot begin at sector 0"),
        ({"overHead": 1 << 63}, "cannot begin at sector"),
        ({"version": 4}, "VMDK version 4"),
        ({"compressAlgorithm": 2}, "compression 2"),
        ({"compressAlgorithm": 0}, "compression 0"),
        ({"lineEnds": b"\n\n\n\n"}, "line ends were changed"),
        ({"descriptorOffset": 0}, "description is not where it belongs"),
        ({"descriptorOffset": 1 << 60}, "description is not where it belongs"),
        ({"descriptorSize": 0}, "description is not where it belongs"),
        ({"descriptorSize": 128}, "description is not where it belongs"),
        ({"magic": b"COWD"}, "does not begin with the header"),
        ({"flags": 1, "compressAlgorithm": 0}, "not a stream-optimised one"),
        ({"gdOffset": 22}, "it ends within"),
        ({"gdOffset": 127}, "tables do not fit"),
        ({"gdOffset": 1 << 62}, "tables do not fit"),
        ({"gdOffset": 21, "capacity": 1 << 53}, "tables do not fit"),
    ],
)
async def test_a_header_that_lies_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidImage, match=re.escape(said)):
        await decode(header(**changes) + stored(0, b"no deflate"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('RW 2048 FLAT "/etc/shadow" 0', "2 extents"),
        ('RW 2048 SPARSE "other.vmdk"', "2 extents"),
        ('parentFileNameHint="/etc/shadow"', "names a parent"),
        ('PARENTFILENAMEHINT="/etc/shadow"', "names a parent"),
        ("parentCID=12345678", "has a parent"),
        ('createType="monolithicFlat"', 'its kind is "monolithicFlat"'),
        ('createType="twoGbMaxExtentSparse"', "its kind is"),
    ],
)
async def test_a_description_that_names_another_file_is_refused(line: str, said: str) -> None:
    with pytest.raises(InvalidImage, match=said):
        await decode(image([], DESCRIPTION + line + "\n"))


@pytest.mark.parametrize(
    "extent", ['FLAT "/etc/shadow" 0', 'SPARSE "/dev/sda"', 'SPARSE "../x.vmdk"', "ZERO", 'VMFSSPARSE "x.vmdk"']
)
async def test_the_one_extent_must_be_the_image_itself(extent: str) -> None:
    with pytest.raises(InvalidImage, match="which is not the image itself"):
        await decode(image([], DESCRIPTION.replace('SPARSE "disk.vmdk"', extent)))


async def test_a_parent_behind_the_declared_description_is_refused_too_since_qemu_finds_it() -> None:
    hidden = DESCRIPTION.ljust(2048, "\0") + 'parentFileNameHint="/etc/shadow"'
    with pytest.raises(InvalidImage, match="names a parent"):
        await decode(image([], hidden, descriptorSize=4))


@given(st.data())
@settings(max_examples=200, deadline=None)
async def test_any_damage_is_refused_or_gives_a_disk_of_the_capacity(data: st.DataObject) -> None:
    damaged = bytearray(HONEST)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, 78) | st.integers(512, 900) | st.integers(65536, len(HONEST) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    length = 0
    try:
        async for part in vmdk.decoded(chunked(bytes(damaged), MIB)):
            length += len(part)
    except InvalidImage as exc:
        assert str(exc).endswith(".")
    else:
        assert length == int.from_bytes(damaged[12:20], "little") * 512
