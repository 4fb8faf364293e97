"""QED, VDI, VHD, VHDX and plain sparse VMDK: what is refused before anything else may read the image."""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvc.errors import InvalidImage, PVCError
from pvc.images import vhd, vhdx
from pvc.images.inspect import HEAD_BYTES, Image, inspect
from pvc.units import GIB, MIB
from tests.parts import images, vmdk
from tests.parts.images import DISK_SIZE, METADATA, PARAMETERS, PARENT_LOCATOR, SIZE

PARENT = bytes(range(16))


def look(image: bytes, declared: str) -> Image:
    return inspect(image[:HEAD_BYTES], declared, volume="local/disk0", capacity=GIB, length=len(image))


def refused(image: bytes, declared: str, said: str) -> None:
    with pytest.raises(InvalidImage, match=re.escape(said)) as exc:
        look(image, declared)
    assert str(exc.value).endswith(".")


@pytest.mark.parametrize(
    ("image", "declared"), [(images.qed(), "qed"), (images.vdi(), "vdi"), (images.vhd(), "vpc")], ids=str
)
def test_an_honest_header_is_accepted_with_its_virtual_size(image: bytes, declared: str) -> None:
    assert look(image, declared) == Image(declared, SIZE, as_it_comes=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": 1, "backing_filename_offset": 64, "backing_filename_size": 11}, "has a backing file"),
        ({"features": 1}, "has a backing file"),
        ({"features": 4}, "has a backing file"),
        ({"backing_filename_size": 11}, "has a backing file"),
        ({"features": 8}, "unknown here (bits 0x8)"),
        ({"features": 1 << 63}, "unknown here"),
        ({"cluster_size": 0}, "clusters of 0 bytes"),
        ({"cluster_size": 65537}, "clusters of 65537 bytes"),
        ({"cluster_size": 1 << 31}, "clusters of 2147483648 bytes"),
        ({"table_size": 0}, "tables of 0 clusters"),
        ({"table_size": 3}, "tables of 3 clusters"),
        ({"table_size": 16, "cluster_size": 64 * MIB}, "tables of 16 clusters"),
        ({"header_size": 0}, "0 clusters long"),
        ({"header_size": 0xFFFFFFFF}, "4294967295 clusters long"),
        ({"image_size": 0}, "virtual size is zero"),
        ({"image_size": 513}, "513 bytes cannot be"),
        ({"image_size": 1 << 63}, "cannot be"),
        ({"image_size": 1 << 52}, "cannot be"),
        ({"l1_table_offset": 0}, "L1 table cannot be at byte 0"),
        ({"l1_table_offset": 1 << 60}, "L1 table cannot be at"),
        ({"l1_table_offset": 1 << 40}, "behind the end of the file"),
    ],
)
def test_a_hostile_qed_is_refused(changes: dict[str, Any], said: str) -> None:
    refused(images.qed(**changes), "qed", said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"uuid_parent": PARENT}, "has a parent"),
        ({"uuid_link": PARENT}, "has a parent"),
        ({"image_type": 3}, "another kind"),
        ({"image_type": 4}, "another kind"),
        ({"version": 0x00010000}, "VDI version 1.0"),
        ({"sector_size": 4096}, "sectors of 4096"),
        ({"block_size": 0}, "blocks of 0 bytes"),
        ({"block_size": 0xFFFFFFFF}, "blocks of 4294967295 bytes"),
        ({"disk_size": 0}, "virtual size is zero"),
        ({"disk_size": (1 << 64) - 1}, "does not fit its 8 blocks"),
        ({"disk_size": 9 * MIB}, "does not fit its 8 blocks"),
        ({"blocks_in_image": 0xFFFFFFFF}, "does not fit its 4294967295 blocks"),
        ({"disk_size": 0x3FFFFFFF * MIB + MIB, "blocks_in_image": 0x40000000}, "does not fit"),
        ({"blocks_allocated": 9}, "does not fit"),
        ({"offset_bmap": 0}, "block map cannot be at byte 0"),
        ({"offset_bmap": 513}, "block map cannot be at byte 513"),
        ({"offset_data": 512}, "its data at 512"),
        ({"offset_data": 0xFFFFFE00}, "behind the end of the file"),
    ],
)
def test_a_hostile_vdi_is_refused(changes: dict[str, Any], said: str) -> None:
    refused(images.vdi(**changes), "vdi", said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": 4}, "has a parent"),
        ({"type": 2}, "of the kind 2"),
        ({"type": 0}, "of the kind 0"),
        ({"checksum": 1}, "checksum of its VHD header is wrong"),
        ({"current_size": 0}, "virtual size is zero"),
        ({"current_size": (1 << 64) - 512}, "cannot be"),
        ({"current_size": SIZE + 1}, "cannot be"),
        ({"current_size": SIZE + 512}, "does not fit its 4 blocks"),
        ({"data_offset": 0}, "goes on at byte 0"),
        ({"data_offset": (1 << 64) - 1}, "goes on at byte 18446744073709551615"),
        ({"data_offset": 1024}, "does not go on as it should"),
    ],
)
def test_a_hostile_vhd_is_refused(changes: dict[str, Any], said: str) -> None:
    refused(images.vhd(images.vhd_footer(**changes)), "vpc", said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parent": PARENT}, "has a parent"),
        ({"rest": bytes(520) + b"W2ku"}, "has a parent"),
        ({"block_size": 0}, "blocks of 0 bytes"),
        ({"block_size": 3 * MIB}, "blocks of 3145728 bytes"),
        ({"block_size": 1 << 31}, "blocks of 2147483648 bytes"),
        ({"max_table_entries": 3}, "does not fit its 3 blocks"),
        ({"max_table_entries": 0xFFFFFFFF}, "does not fit its 4294967295 blocks"),
        ({"table_offset": 0}, "block table cannot be at byte 0"),
        ({"table_offset": 1 << 60}, "block table cannot be at"),
        ({"table_offset": 1 << 40}, "behind the end of the file"),
    ],
)
def test_a_hostile_vhd_table_is_refused(changes: dict[str, Any], said: str) -> None:
    refused(images.vhd(**changes), "vpc", said)


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


FIXED = bytes(range(256)) * 8


@pytest.mark.parametrize("size", [1, 511, 513, 10_000])
async def test_a_fixed_vhd_is_what_stands_before_its_footer(size: int) -> None:
    whole = FIXED + images.vhd_footer(type=2, current_size=len(FIXED))
    assert look(whole, "vpc") == Image("vpc", len(FIXED), as_it_comes=True)
    assert b"".join([part async for part in vhd.fixed(chunked(whole, size))]) == FIXED


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (b"", "neither begins nor ends like one"),
        (images.vhd_footer(type=2, current_size=2048)[:-1], "neither begins nor ends"),
        (images.vhd_footer(type=2, current_size=2048) + b"x", "neither begins nor ends"),
        (images.vhd_footer(type=3, current_size=2048), "of the kind 3"),
        (images.vhd_footer(type=4, current_size=2048), "has a parent"),
        (images.vhd_footer(type=2, current_size=4096), "its footer says that it has 4096 bytes, it has 2048"),
    ],
)
async def test_a_fixed_vhd_whose_end_denies_it_is_refused(end: bytes, said: str) -> None:
    with pytest.raises(InvalidImage, match=said):
        async for _ in vhd.fixed(chunked(FIXED + end, 100)):
            pass


async def watch(image: bytes, size: int = 100_000) -> int:
    watching = vhdx.Watch()
    passed = [part async for part in watching.passing(chunked(image, size))]
    assert b"".join(passed) == image
    return watching.virtual_size


@pytest.mark.parametrize("size", [4097, 65536, 10 * MIB])
@pytest.mark.parametrize("metadata_at", [MIB, 5 * MIB])
async def test_an_honest_vhdx_passes_and_tells_its_virtual_size(size: int, metadata_at: int) -> None:
    assert await watch(images.vhdx(metadata_at=metadata_at), size) == SIZE


def items(block: int = MIB, flags: int = 0, size: int = SIZE) -> list[tuple[str, bytes, int]]:
    return [(PARAMETERS, struct.pack("<II", block, flags), 4), (DISK_SIZE, struct.pack("<Q", size), 6)]


UNKNOWN = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (images.vhdx(items=items(flags=2)), "has a parent"),
        (images.vhdx(items=[*items(), (PARENT_LOCATOR, b"x" * 20, 4)]), "has a parent"),
        (images.vhdx(items=items(block=0)), "blocks of 0 bytes"),
        (images.vhdx(items=items(block=1 << 31)), "blocks of 2147483648 bytes"),
        (images.vhdx(items=items(size=0)), "virtual size is zero"),
        (images.vhdx(items=items(size=1 << 63)), "cannot be"),
        (images.vhdx(items=items()[:1]), "virtual size is zero"),
        (images.vhdx(items=[*items(), (UNKNOWN, b"", 4)]), "metadata that is unknown here"),
        (images.vhdx(regions=[(METADATA, 2 * MIB, MIB, 1), (UNKNOWN, 4 * MIB, MIB, 1)]), "region that is unknown"),
        (images.vhdx(regions=[(METADATA, 0, MIB, 1)]), "not where it can be"),
        (images.vhdx(regions=[(METADATA, (1 << 64) - MIB, MIB, 1)]), "not where it can be"),
        (images.vhdx(regions=[(METADATA, 2 * MIB, 0xFFFFFFFF, 1)]), "not where it can be"),
        (images.vhdx(regions=[(METADATA, 3 * MIB, MIB, 1)]), "ends before its VHDX metadata"),
        (images.vhdx(metadata_at=2 * MIB)[: 2 * MIB + 100], "ends before its VHDX metadata"),
        (b"vhdxfile", "ends before its VHDX metadata"),
        (b"vhdxfile".ljust(MIB, b"\0"), "region table is damaged"),
        (images.vhdx().replace(b"metadata", b"metadatA"), "metadata is damaged"),
    ],
)
async def test_a_hostile_vhdx_is_refused_on_its_way(image: bytes, said: str) -> None:
    with pytest.raises(InvalidImage, match=said):
        await watch(image)


def test_a_plain_sparse_vmdk_is_accepted_with_its_virtual_size() -> None:
    description = vmdk.DESCRIPTION.replace("streamOptimized", "monolithicSparse")
    plain = vmdk.header(description, flags=3, compressAlgorithm=0, version=1, gdOffset=26)
    assert look(plain, "vmdk") == Image("vmdk", MIB, as_it_comes=False)
    assert look(vmdk.header(), "vmdk") == Image("vmdk", MIB, as_it_comes=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flags": 0x10003}, "half a stream-optimised VMDK"),
        ({"flags": 0x20003, "compressAlgorithm": 0}, "half a stream-optimised VMDK"),
        ({"flags": 3, "compressAlgorithm": 0}, "it has a footer"),
        ({"flags": 3, "compressAlgorithm": 0, "gdOffset": 26, "capacity": 1 << 40}, "too many grain tables"),
        ({"flags": 3, "compressAlgorithm": 0, "gdOffset": 26, "capacity": 0}, "virtual size is zero"),
    ],
)
def test_a_vmdk_that_qemu_could_take_otherwise_is_refused(changes: dict[str, Any], said: str) -> None:
    refused(vmdk.header(**changes), "vmdk", said)


@pytest.mark.parametrize(
    "head",
    [
        b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/shadow" 0\n',
        b"COWD" + bytes(508),
        b"\x1f\x8b\x08" + bytes(509),
        bytes(512),
    ],
)
@pytest.mark.parametrize("declared", ["vmdk", "vdi", "qed", "vhdx", "qcow2"])
def test_content_that_denies_the_declared_format_is_refused(head: bytes, declared: str) -> None:
    refused(head, declared, f'it was declared "{declared}", but')


MADE = {"qed": images.qed(), "vdi": images.vdi(), "vpc": images.vhd(), "vmdk": vmdk.header()}


@given(st.sampled_from(sorted(MADE)), st.data())
@settings(max_examples=300)
def test_any_damage_to_a_header_is_accepted_or_refused(declared: str, data: st.DataObject) -> None:
    damaged = bytearray(MADE[declared][:HEAD_BYTES])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, min(len(damaged), 1536) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = look(bytes(damaged), declared)
    except PVCError as exc:
        assert str(exc).endswith(".")
    else:
        assert image.virtual_size is not None
        assert 0 < image.virtual_size <= GIB
