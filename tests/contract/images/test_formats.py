"""Each accepted format, made by the real qemu-img: what it holds is what the volume holds."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from pvc.errors import ImageTooLarge, InvalidImage
from pvc.images.receive import Received
from pvc.storage.directory import DirectoryPool
from pvc.units import MIB
from tests.contract.images.conftest import SIZE
from tests.contract.images.uploads import pieces, run, upload
from tests.contract.storage.harness import AnyPool, Harness
from tests.parts import images, vmdk

DATA = (b"disk" + random.Random(1).randbytes(MIB) + bytes(2 * MIB) + b"end" * 1000).ljust(4 * MIB, b"\0")

MADE = {  # name: format and options of qemu-img
    "raw": ("raw",),
    "qcow2": ("qcow2",),
    "qed": ("qed",),
    "vmdk": ("vmdk",),
    "vmdk-streamed": ("vmdk", "-o", "subformat=streamOptimized"),
    "vdi": ("vdi",),
    "vdi-static": ("vdi", "-o", "static=on"),
    "vpc": ("vpc", "-o", "force_size=on"),
    "vpc-fixed": ("vpc", "-o", "force_size=on,subformat=fixed"),
    "vhdx": ("vhdx",),
    "vhdx-fixed": ("vhdx", "-o", "subformat=fixed"),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("images")
    (folder / "disk").write_bytes(DATA)
    return {name: _make(folder, name) for name in MADE}


def _make(folder: Path, name: str) -> bytes:
    run("qemu-img", "convert", "-f", "raw", "-O", *MADE[name], folder / "disk", folder / name)
    return (folder / name).read_bytes()


def content(pool: DirectoryPool) -> bytes:
    return Path(pool.source("disk0").path).read_bytes()


def only_the_volume(pool: DirectoryPool) -> bool:
    folder = Path(pool.source("disk0").path).parent
    return [file.name for file in folder.iterdir() if file.is_file()] == [Path(pool.source("disk0").path).name]


@pytest.mark.real
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("name", MADE)
async def test_what_the_image_holds_is_what_the_volume_holds(
    directory: DirectoryPool, made: dict[str, bytes], name: str, known: bool
) -> None:
    image = made[name]
    received = await upload(directory, pieces(image, 70_000), MADE[name][0], length=len(image) if known else None)
    assert content(directory) == DATA.ljust(SIZE, b"\0")
    assert received == Received(MADE[name][0], len(image), len(DATA), hashlib.sha256(image).hexdigest())
    used = (await directory.volume("disk0")).used
    assert used is not None
    assert used <= 2 * MIB
    assert await directory.unfinished() == {}


@pytest.mark.real
@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("name", ["raw", "qcow2", "vmdk-streamed", "vhdx"])
async def test_a_packed_image_is_unpacked_on_its_way(
    directory: DirectoryPool, made: dict[str, bytes], name: str, kind: str
) -> None:
    packed = PACKED[kind](made[name])
    received = await upload(directory, pieces(packed, 70_000), MADE[name][0], length=len(packed))
    assert content(directory) == DATA.ljust(SIZE, b"\0")
    assert received == Received(MADE[name][0], len(packed), len(DATA), hashlib.sha256(packed).hexdigest())


@pytest.mark.real
@pytest.mark.parametrize("name", ["vmdk-streamed", "vpc"])
async def test_either_pool_takes_what_is_decoded_and_what_is_converted(
    pool: AnyPool, harness: Harness, made: dict[str, bytes], name: str
) -> None:
    packed = gzip.compress(made[name])
    await upload(pool, pieces(packed, 70_000), MADE[name][0])
    assert harness.content("disk0") == DATA.ljust(SIZE, b"\0")
    assert await harness.hidden() == []


@pytest.mark.real
async def test_a_vhd_of_whatever_program_is_as_large_as_it_says_and_not_as_its_geometry(
    directory: DirectoryPool, made: dict[str, bytes]
) -> None:
    first = images.vhd_footer(creator=b"vbox", current_size=len(DATA))
    await upload(directory, [first + made["vpc"][512:]], "vpc")
    assert content(directory) == DATA.ljust(SIZE, b"\0")


@pytest.mark.real
@pytest.mark.parametrize("declared", ["raw", "qcow2", "qed", "vmdk", "vdi", "vpc", "vhdx"])
async def test_a_declared_format_that_the_content_denies_is_refused(
    directory: DirectoryPool, made: dict[str, bytes], declared: str
) -> None:
    before = content(directory)
    for name, image in made.items():
        if MADE[name][0] != declared and (declared, name) not in {("raw", "vpc-fixed"), ("vpc", "raw")}:
            for body in (image, gzip.compress(image)):
                with pytest.raises(InvalidImage, match=r"declared|neither begins nor ends"):
                    await upload(directory, [body], declared)
    assert content(directory) == before


@pytest.mark.real
@pytest.mark.parametrize("image", [images.qed(), images.vdi(), images.vhd()], ids=["qed", "vdi", "vpc"])
async def test_headers_made_by_hand_pass_so_that_refusals_mean_something(
    directory: DirectoryPool, image: bytes, request: pytest.FixtureRequest
) -> None:
    await upload(directory, [image], request.node.callspec.id)
    assert content(directory) == bytes(SIZE)


BOMB = gzip.compress(b"QED\0" + images.qed()[4:] + bytes(200 * MIB))

HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "a bomb that is raw": ("raw", gzip.compress(bytes(9 * MIB)), "does not fit"),
    "a bomb in scratch space": ("qed", BOMB, "unpacks to more than"),
    "packed twice": ("raw", gzip.compress(gzip.compress(b"x")), "those of gzip"),
    "packed and cut off": ("raw", gzip.compress(DATA)[:-9], "ends within its gzip data"),
    "a backing file, packed": (
        "qed",
        gzip.compress(images.qed(features=1, backing_filename_offset=64, backing_filename_size=11)),
        "has a backing file",
    ),
    "a parent that shows late": (
        "vhdx",
        images.vhdx(items=[(images.PARAMETERS, b"\0\0\x10\0\2\0\0\0", 4)]),
        "has a parent",
    ),
    "a disk too large that shows late": (
        "vhdx",
        images.vhdx(
            items=[
                (images.PARAMETERS, b"\0\0\x10\0\0\0\0\0", 4),
                (images.DISK_SIZE, (SIZE + 4096).to_bytes(8, "little"), 6),
            ]
        ),
        "does not fit",
    ),
    "a grain that overruns": (
        "vmdk",
        vmdk.image([vmdk.grain(0, b"x" * 65536, size=1 << 31)]),
        "more than any grain can",
    ),
    "a host's file as extent": (
        "vmdk",
        vmdk.image([], vmdk.DESCRIPTION.replace('SPARSE "disk.vmdk"', 'FLAT "/etc/hostname" 0')),
        "not the image itself",
    ),
    "a description without a disk": (
        "vmdk",
        b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/hostname" 0\n',
        "lists other files",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_images_are_refused_and_nothing_stays_behind(directory: DirectoryPool, name: str) -> None:
    declared, image, said = HOSTILE[name]
    with pytest.raises((InvalidImage, ImageTooLarge), match=said):
        await upload(directory, pieces(image, 70_000), declared)
    assert content(directory).rstrip(b"\0") == b"old"
    assert await directory.unfinished() == {}
    assert only_the_volume(directory)
