"""Images whose tables are odd, damaged or hostile: what qemu-img makes of them, or a refusal that changes nothing."""

from __future__ import annotations

import random
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvc.errors import InvalidImage
from pvc.storage.directory import DirectoryPool
from pvc.units import GIB
from tests.contract.images.uploads import pieces, upload
from tests.contract.storage.harness import DirectoryHarness
from tests.parts.qcow2 import CLUSTER
from tests.parts.qcow2damage import BAD, ENTRIES, GOOD, PACKED, PRESSED, ZERO, at, deflated, image, noise, packed, table
from tests.parts.qemu import converted, differing


@pytest.fixture
def harness(tmp_path: Path) -> DirectoryHarness:
    return DirectoryHarness(tmp_path / "pool")


@pytest.fixture
async def pool(harness: DirectoryHarness) -> AsyncIterator[DirectoryPool]:
    """With a volume "disk0" of a GiB, that begins with "old"."""
    pool = await harness.open()
    await pool.create("disk0", GIB)
    async with pool.draft("disk0") as draft:
        await draft.write(b"old")
        await draft.commit()
    yield pool
    await pool.aclose()


def is_volume(pool: DirectoryPool, raw: Path) -> bool:
    return differing(Path(pool.source("disk0").path), raw) == []


def old(tmp_path: Path) -> Path:
    (tmp_path / "old").write_bytes(b"old")
    return tmp_path / "old"


@pytest.mark.real
@pytest.mark.parametrize("name", GOOD)
async def test_what_is_odd_is_what_qemu_img_makes_of_it(
    pool: DirectoryPool, harness: DirectoryHarness, tmp_path: Path, name: str
) -> None:
    (tmp_path / "image").write_bytes(GOOD[name])
    assert converted(tmp_path / "image", tmp_path / "raw")
    await upload(pool, pieces(GOOD[name], 50_001), "qcow2", verify=True)
    assert is_volume(pool, tmp_path / "raw")
    assert await harness.hidden() == []


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("known", [False, True])
async def test_what_cannot_be_is_refused_and_changes_nothing(
    pool: DirectoryPool, harness: DirectoryHarness, tmp_path: Path, name: str, known: bool
) -> None:
    file, said = BAD[name]
    with pytest.raises(InvalidImage, match=said):
        await upload(pool, pieces(file, 50_001), "qcow2", length=len(file) if known else None)
    assert is_volume(pool, old(tmp_path))
    assert await harness.hidden() == []


async def _as_qemu_img_or_not_at_all(pool: DirectoryPool, harness: DirectoryHarness, folder: Path, file: bytes) -> None:
    """The volume is what qemu-img makes of the file, or stays what the one before it made of it."""
    expected = folder / "raw" if (folder / "raw").exists() else old(folder)
    try:
        await upload(pool, pieces(file, 50_001), "qcow2")
    except InvalidImage:
        pass
    else:
        (folder / "image").write_bytes(file)
        expected = folder / "raw"
        assert converted(folder / "image", expected)
    assert is_volume(pool, expected)
    assert await harness.hidden() == []


@pytest.mark.real
@pytest.mark.parametrize("name", ["late", "in the middle of its data", "tables upside down", "L1 at the end", "packed"])
async def test_what_is_cut_is_refused_or_what_qemu_img_makes_of_it(
    pool: DirectoryPool, harness: DirectoryHarness, tmp_path: Path, name: str
) -> None:
    for border in range(2 * CLUSTER, len(GOOD[name]) + 1, CLUSTER):
        for by in (-1, 6, 8, 14):
            await _as_qemu_img_or_not_at_all(pool, harness, tmp_path, GOOD[name][: border + by])


def base(source: random.Random) -> bytearray:
    """Two tables, plain and packed clusters, somewhere from cluster 4 on."""
    places = source.sample(range(4, 20), 14)
    pressed = [PRESSED, deflated(noise(9)), PRESSED]
    clusters = {place: noise(place) for place in places[2:10]}
    clusters |= dict(zip(places[10:13], pressed, strict=True))
    entries = [at(place) for place in places[2:10]]
    entries += [packed(place * CLUSTER, len(data)) for place, data in zip(places[10:13], pressed, strict=True)]
    source.shuffle(entries)
    tables = [dict(enumerate(entries[:6])), {ENTRIES - 1 - n: entry for n, entry in enumerate(entries[6:])}]
    clusters |= {place: table(lower) for place, lower in zip(places[:2], tables, strict=True)}
    file = image({0: at(places[0]), 1: at(places[1])}, clusters, size=GIB, l1_size=2)
    return bytearray(file.ljust(21 * CLUSTER, b"\0"))


def damaged(source: random.Random) -> bytes:
    file = base(source)
    _, *tables = (place & ~at(0) for place in (at(0), *struct.unpack_from(">2Q", file, 3 * CLUSTER)))
    for _ in range(source.randint(1, 2)):
        start = source.choice([3 * CLUSTER, *tables]) + 8 * source.choice([0, 1, 2, 5, ENTRIES - 1])
        (entry,) = struct.unpack_from(">Q", file, start)
        struct.pack_into(">Q", file, start, _changed(entry, source))
    return bytes(file[: source.choice([len(file), len(file) - source.randrange(12 * CLUSTER)])])


def _changed(entry: int, source: random.Random) -> int:
    place = source.randrange(24)
    return source.choice(
        [
            entry ^ 1 << source.randrange(64),
            at(place),
            at(place) | ZERO,
            PACKED | source.randrange(8) << 54 | source.randrange(20 * CLUSTER),
            PACKED | source.randrange(300) << 54 | place * CLUSTER,
            source.getrandbits(64),
            0,
        ]
    )


@pytest.mark.real
@pytest.mark.parametrize("seed", range(60))
async def test_whatever_is_damaged(pool: DirectoryPool, harness: DirectoryHarness, tmp_path: Path, seed: int) -> None:
    await _as_qemu_img_or_not_at_all(pool, harness, tmp_path, damaged(random.Random(seed)))
