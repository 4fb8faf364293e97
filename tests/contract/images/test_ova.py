"""OVAs with disks as qemu-img writes them, into every kind of pool: all of one, or nothing."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from pvc.cluster import leftovers, tasks
from pvc.cluster.opening import open_state
from pvc.cluster.ovas import clear, remove, reserved_removable
from pvc.cluster.state import Held, State
from pvc.cluster.tasks import unheard
from pvc.config import Upload
from pvc.errors import ConversionFailed, InvalidImage, NotFound
from pvc.model.records import OVA
from pvc.server.ovauploads import Making
from pvc.store.embedded import EmbeddedSource
from pvc.units import MIB
from tests.contract.images.uploads import pieces, run, stream
from tests.contract.storage.harness import AnyPool, Harness
from tests.parts.interruption import cut_at
from tests.parts.ova import QCOW2, RAW, VMDK, archive, described, manifest, member

DISK = random.Random(2).randbytes(MIB) + bytes(2 * MIB) + b"end" * 1000
SIZE = -(-len(DISK) // 65536) * 65536


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    yield await open_state(source)
    await source.aclose()


def converted(folder: Path, form: str, *options: str) -> bytes:
    """DISK as an image."""
    raw, image = folder / "made.raw", folder / "made.image"
    raw.write_bytes(DISK.ljust(SIZE, b"\0"))
    run("qemu-img", "convert", "-f", "raw", "-O", form, *options, raw, image)
    return image.read_bytes()


def ova(*files: tuple[bytes, str]) -> bytes:
    """With the manifest at the end. files: content and format's URI of each disk."""
    names = [f"disk{number}" for number in range(len(files))]
    text = described(*((name, uri) for name, (_, uri) in zip(names, files, strict=True)), capacity=SIZE)
    contents = dict(zip(names, (data for data, _ in files), strict=True))
    sums = manifest("sha1", x__ovf=text, **contents)
    disks = [member(name, data) for name, data in contents.items()]
    return archive(member("x.ovf", text), *disks, member("x.mf", sums))


async def made(state: State, pool: AnyPool, chunks: Iterable[bytes | BaseException]) -> OVA:
    task = tasks.new(state, leftovers.UPLOAD, ("ova", "app"), "app")
    making = Making(state, {"local": pool}, "local", tasks.Running(state, task), Upload())
    return (await making.run(stream(chunks), None, None))[0]


async def removed(state: State, pool: AnyPool) -> None:
    pools = {"local": pool}
    async with reserved_removable(state, pools, "app", "a test") as held:
        await remove(state, pools, held, unheard)


async def assert_nothing_is_left(state: State, pool: AnyPool, harness: Harness) -> None:
    assert await state.ovas() == []
    assert [volume.name for volume in await pool.volumes()] == ["disk0"]
    assert await harness.hidden() == []


@pytest.mark.real
async def test_stream_optimised_disks_are_decoded_as_they_come(
    pool: AnyPool, harness: Harness, state: State, tmp_path: Path
) -> None:
    disk = converted(tmp_path, "vmdk", "-o", "subformat=streamOptimized")
    found = await made(state, pool, pieces(ova((disk, VMDK), (disk, VMDK)), 100_000))
    assert (found.manifest, len(found.disks)) == (True, 2)
    for name in ("ova_app_vda", "ova_app_vdb"):
        assert harness.content(name) == DISK.ljust(SIZE, b"\0")
        used = (await pool.volume(name)).used
        assert used is not None
        assert used <= 2 * MIB + 2 * harness.grain
    assert await harness.hidden() == []
    await removed(state, pool)
    await assert_nothing_is_left(state, pool, harness)


@pytest.mark.real
async def test_disks_of_other_formats_go_by_scratch_space(
    pool: AnyPool, harness: Harness, state: State, tmp_path: Path
) -> None:
    sparse = converted(tmp_path, "vmdk", "-o", "subformat=monolithicSparse")
    qcow2 = converted(tmp_path, "qcow2", "-c")
    await made(state, pool, pieces(ova((sparse, VMDK), (qcow2, QCOW2), (DISK, RAW)), 100_000))
    for name in ("ova_app_vda", "ova_app_vdb", "ova_app_vdc"):
        assert harness.content(name) == DISK.ljust(SIZE, b"\0")
    assert await harness.hidden() == []


@pytest.mark.real
@pytest.mark.parametrize("keep", [0.4, 0.8, 0.99])
async def test_an_archive_that_breaks_off_leaves_nothing(
    pool: AnyPool, harness: Harness, state: State, tmp_path: Path, keep: float
) -> None:
    disk = converted(tmp_path, "vmdk", "-o", "subformat=streamOptimized")
    whole = ova((disk, VMDK), (disk, VMDK))
    with pytest.raises(InvalidImage):
        await made(state, pool, pieces(whole[: int(len(whole) * keep)], 100_000))
    await assert_nothing_is_left(state, pool, harness)


@pytest.mark.real
async def test_a_second_disk_that_is_damaged_takes_the_first_one_along(
    pool: AnyPool, harness: Harness, state: State, tmp_path: Path
) -> None:
    disk = converted(tmp_path, "vmdk", "-o", "subformat=streamOptimized")
    damaged = disk[:200_000] + b"\xff" * 1000 + disk[201_000:]
    with pytest.raises((InvalidImage, ConversionFailed)):
        await made(state, pool, pieces(ova((disk, VMDK), (damaged, VMDK)), 100_000))
    await assert_nothing_is_left(state, pool, harness)


async def test_an_upload_cancelled_at_any_await_is_whole_or_nothing(
    directory: AnyPool, state: State, tmp_path: Path
) -> None:
    small = described(("disk0", RAW), capacity=MIB)
    whole = pieces(archive(member("x.ovf", small), member("disk0", b"d" * 5000)), 6000)
    for suspension in count():
        cut = await cut_at(made(state, directory, whole), suspension)
        await clear(state, {"local": directory})  # what was cut in the middle of its undo
        left = [item.record.whole for item in await state.ovas() if isinstance(item, Held)]
        names = [volume.name for volume in await directory.volumes()]
        assert (left, names) in (([], ["disk0"]), ([True], ["disk0", "ova_app_vda"]))
        assert list((tmp_path / "pool" / ".incoming").iterdir()) == []
        if left:
            await removed(state, directory)
        if not cut:
            break
    assert left == [True]
    assert suspension > 10


async def test_a_removal_cancelled_at_any_await_is_none_or_whole(directory: AnyPool, state: State) -> None:
    small = described(("disk0", RAW), capacity=MIB)
    whole = [archive(member("x.ovf", small), member("disk0", b"d" * 5000))]
    for suspension in count():
        await made(state, directory, whole)
        cut = await cut_at(removed(state, directory), suspension)
        await clear(state, {"local": directory})
        with suppress(NotFound):
            await removed(state, directory)
        assert await state.ovas() == []
        assert [volume.name for volume in await directory.volumes()] == ["disk0"]
        if not cut:
            break
    assert suspension > 5
