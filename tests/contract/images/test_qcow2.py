"""qcow2 images, made by the real qemu-img: decoded here, or by qemu-img again, in its jail."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pvc.config import Upload
from pvc.errors import ConversionFailed, ImageTooLarge, InvalidImage, PoolFull
from pvc.images.receive import Received
from pvc.units import MIB
from tests.contract.images.conftest import SIZE
from tests.contract.images.uploads import is_untouched, pieces, run, upload
from tests.contract.storage.harness import AnyPool, DirectoryHarness, Harness
from tests.parts.interruption import cut_at
from tests.parts.qcow2 import empty_image, extension, header
from tests.parts.small_disk import small_disk

DATA = random.Random(1).randbytes(MIB) + bytes(2 * MIB) + b"end" * 1000  # not a multiple of a sector
VIRTUAL = -(-len(DATA) // 512) * 512
FOR_QEMU_IMG = ("-o", "extended_l2=on")

Make = Callable[..., bytes]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Makes a qcow2 image that holds DATA, with qemu-img's options."""

    def make(*options: str) -> bytes:
        raw, image = tmp_path / "made.raw", tmp_path / "made.qcow2"
        raw.write_bytes(DATA)
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, image)
        return image.read_bytes()

    return make


@pytest.mark.real
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-c",),
        ("-c", "-o", "compression_type=zstd"),
        ("-o", "compat=0.10"),
        ("-o", "cluster_size=512"),
        ("-o", "cluster_size=2M"),
        ("-c", "-o", "cluster_size=2M"),
        ("-o", "cluster_size=2M,extended_l2=on,lazy_refcounts=on"),
        ("-o", "refcount_bits=64,preallocation=metadata"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
async def test_what_the_image_holds_is_what_the_volume_holds(
    pool: AnyPool, harness: Harness, made: Make, options: tuple[str, ...], known: bool
) -> None:
    image = made(*options)
    received = await upload(pool, pieces(image, 50_000), "qcow2", length=len(image) if known else None)
    assert harness.content("disk0") == DATA + bytes(SIZE - len(DATA))
    assert received == Received("qcow2", len(image), VIRTUAL, hashlib.sha256(image).hexdigest())
    used = (await pool.volume("disk0")).used
    assert used is not None
    assert used <= 2 * MIB + 2 * harness.grain
    assert await harness.hidden() == []


@pytest.mark.real
@pytest.mark.parametrize("options", [("-c",), FOR_QEMU_IMG])
async def test_both_phases_are_reported_to_their_end(pool: AnyPool, made: Make, options: tuple[str, ...]) -> None:
    image = made(*options)
    told: list[tuple[str, int, int]] = []
    await upload(pool, [image], "qcow2", length=len(image), report=lambda *now: told.append(now))
    assert ("receiving", len(image), len(image)) in told
    assert told[-1] == ("converting", VIRTUAL, VIRTUAL)


@pytest.mark.real
async def test_a_plain_image_is_converted_while_it_is_received(pool: AnyPool, made: Make) -> None:
    told: list[str] = []
    await upload(pool, [made()], "qcow2", report=lambda phase, _done, _all: told.append(phase))
    assert set(told) == {"receiving"}


@pytest.mark.real
async def test_an_image_made_by_hand_passes_so_that_refusals_mean_something(pool: AnyPool, harness: Harness) -> None:
    await upload(pool, [empty_image()], "qcow2")
    assert harness.content("disk0") == bytes(SIZE)


@pytest.mark.real
async def test_an_internal_snapshot_does_no_harm(pool: AnyPool, harness: Harness, made: Make, tmp_path: Path) -> None:
    made()
    run("qemu-img", "snapshot", "-c", "before", tmp_path / "made.qcow2")
    await upload(pool, [(tmp_path / "made.qcow2").read_bytes()], "qcow2")
    assert harness.content("disk0")[: len(DATA)] == DATA


@pytest.mark.parametrize(
    "changes",
    [
        {"backing_file_offset": 120, "backing_file_size": 11},
        {"incompatible_features": 4},
        {"extensions": extension(0x44415441, b"/etc/shadow")},
        {"crypt_method": 1},
        {"incompatible_features": 2},
        {"l1_size": 0xFFFFFFFF},
        {"nb_snapshots": 0xFFFFFFFF},
        {"cluster_bits": 63},
    ],
)
async def test_a_hostile_image_is_refused_in_the_first_chunk(
    pool: AnyPool, harness: Harness, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidImage):
        await upload(pool, [header(**changes), RuntimeError("more was read")], "qcow2")
    assert await is_untouched(pool, harness)


async def test_an_image_larger_than_the_volume_is_refused_in_the_first_chunk(pool: AnyPool, harness: Harness) -> None:
    with pytest.raises(ImageTooLarge):
        await upload(pool, [header(size=SIZE + 512), RuntimeError("more was read")], "qcow2")
    assert await is_untouched(pool, harness)


@pytest.mark.real
async def test_a_backing_file_of_the_host_is_refused_and_not_read(
    pool: AnyPool, harness: Harness, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.write_bytes(b"CANARY" * 1000)
    image = tmp_path / "backed.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", canary, "-F", "raw", image)
    with pytest.raises(InvalidImage, match="backing file"):
        await upload(pool, [image.read_bytes()], "qcow2")
    assert await is_untouched(pool, harness)


@pytest.mark.real
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
async def test_an_image_that_is_cut_short_is_refused(pool: AnyPool, harness: Harness, made: Make, keep: float) -> None:
    image = made("-c", "-o", "cluster_size=4096")
    part = image[: int(len(image) * keep)]
    with pytest.raises(InvalidImage, match="the upload ended after"):
        await upload(pool, pieces(part, 65536), "qcow2", length=len(image))
    assert await is_untouched(pool, harness)


def nowhere(**changes: Any) -> bytes:
    """An image with an L2 table at no place that can be."""
    image = bytearray(empty_image())
    image[:65536] = header(**changes)
    image[3 * 65536 : 3 * 65536 + 8] = (0x80FF_FFFF_FFFF_FE00).to_bytes(8)
    return bytes(image)


async def test_a_table_at_no_place_that_can_be_is_refused(pool: AnyPool, harness: Harness) -> None:
    with pytest.raises(InvalidImage, match="where no cluster begins"):
        await upload(pool, [nowhere()], "qcow2")
    assert await is_untouched(pool, harness)


@pytest.mark.real
async def test_what_qemu_img_refuses_is_told_without_the_jails_names(pool: AnyPool, harness: Harness) -> None:
    with pytest.raises(ConversionFailed) as exc:
        await upload(pool, [nowhere(incompatible_features=16)], "qcow2")
    assert "/in" not in str(exc.value)
    assert "qemu-img:" not in str(exc.value)
    assert await is_untouched(pool, harness)


@pytest.mark.real
@pytest.mark.parametrize(("options", "room"), [((), "1M"), (("-c",), "1M"), (FOR_QEMU_IMG, "2M")])
async def test_a_pool_that_fills_up_while_converting_is_called_full(
    tmp_path: Path, made: Make, options: tuple[str, ...], room: str
) -> None:
    with small_disk(tmp_path / "small", room) as folder:
        with (folder / "disk0.raw").open("wb") as file:
            file.write(b"old")
            file.truncate(SIZE)
        harness = DirectoryHarness(folder)
        pool = await harness.open()
        with pytest.raises(PoolFull):
            await upload(pool, [made(*options)], "qcow2")
        assert await is_untouched(pool, harness)
        await pool.aclose()


@pytest.mark.real
@pytest.mark.parametrize("options", [(), ("-c",), FOR_QEMU_IMG])
async def test_an_upload_cancelled_at_any_await_leaves_old_or_new_content(
    pool: AnyPool, harness: Harness, made: Make, options: tuple[str, ...]
) -> None:
    image = made(*options)
    for suspension in count():
        await cut_at(upload(pool, pieces(image, 65536), "qcow2"), suspension)
        if not await is_untouched(pool, harness):
            break
    assert harness.content("disk0") == DATA + bytes(SIZE - len(DATA))
    assert suspension > 5


@pytest.mark.real
async def test_limits_reach_qemu_img(pool: AnyPool, harness: Harness, made: Make) -> None:
    with pytest.raises(ConversionFailed, match="more than its limit of 32M of memory"):
        await upload(pool, [made(*FOR_QEMU_IMG)], "qcow2", limits=Upload(convert_memory_bytes=32 * MIB))
    assert await is_untouched(pool, harness)


@pytest.mark.real
async def test_uploads_convert_side_by_side(pool: AnyPool, harness: Harness, made: Make) -> None:
    image = made("-c")
    answers = await asyncio.gather(*(upload(pool, [image], "qcow2") for _ in range(2)), return_exceptions=True)
    assert sum(isinstance(answer, Received) for answer in answers) == 1
    assert harness.content("disk0")[: len(DATA)] == DATA
