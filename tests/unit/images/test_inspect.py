from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvc.errors import ImageTooLarge, InvalidImage, InvalidInput, PVCError
from pvc.images.formats import ACCEPTED
from pvc.images.inspect import HEAD_BYTES, Image, inspect
from pvc.units import GIB, MIB
from tests.parts.qcow2 import CLUSTER, LENGTH, extension, header

DATA_FILE_NAME, FEATURE_NAMES, ENCRYPTION = 0x44415441, 0x6803F857, 0x0537BE77


def look(head: bytes, declared: str = "qcow2", *, capacity: int = GIB, length: int | None = LENGTH) -> Image:
    return inspect(head, declared, volume="local/disk0", capacity=capacity, length=length)


def test_an_honest_qcow2_is_accepted_with_its_virtual_size() -> None:
    assert look(header()) == Image("qcow2", 8 * MIB, as_it_comes=True)
    assert look(header(), length=None) == Image("qcow2", 8 * MIB, as_it_comes=True)
    assert look(header(), capacity=8 * MIB) == Image("qcow2", 8 * MIB, as_it_comes=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2, "header_length": 0, "refcount_order": 0},
        {"header_length": 104},
        {"incompatible_features": 1},  # dirty: of no matter to a reader
        {"incompatible_features": 8, "compression_type": 1},  # zstd
        {"incompatible_features": 16},  # extended L2 entries
        {"compatible_features": 1, "autoclear_features": 1},
        {"nb_snapshots": 2, "snapshots_offset": CLUSTER},
        {"refcount_order": 6},
        {"l1_size": 4 * MIB, "length": None},
    ],
)
def test_what_qemu_itself_makes_is_accepted(changes: dict[str, Any]) -> None:
    length = changes.pop("length", LENGTH)
    decoded = changes.get("incompatible_features") != 16
    assert look(header(**changes), length=length) == Image("qcow2", 8 * MIB, as_it_comes=decoded)


def test_unknown_header_extensions_are_passed_over() -> None:
    extensions = extension(FEATURE_NAMES, b"x" * 48) + extension(0x12345678, b"odd") + extension(0, b"")
    assert look(header(extensions)).virtual_size == 8 * MIB


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backing_file_offset": 200, "backing_file_size": 11}, "has a backing file"),
        ({"backing_file_offset": 1 << 40}, "has a backing file"),
        ({"version": 2, "backing_file_offset": 200}, "has a backing file"),
        ({"incompatible_features": 4}, "keeps its data in another file"),
        ({"incompatible_features": 2}, "is marked as corrupt"),
        ({"incompatible_features": 3}, "is marked as corrupt"),
        ({"incompatible_features": 32}, "unknown here (bits 0x20)"),
        ({"incompatible_features": 1 << 63}, "unknown here"),
        ({"crypt_method": 1}, "is encrypted"),
        ({"crypt_method": 2}, "is encrypted"),
        ({"version": 0}, "version 0 is unknown"),
        ({"version": 4}, "version 4 is unknown"),
        ({"cluster_bits": 8}, "clusters of 2^8"),
        ({"cluster_bits": 22}, "clusters of 2^22"),
        ({"cluster_bits": 0xFFFFFFFF}, "clusters of 2^4294967295"),
        ({"cluster_bits": 13, "incompatible_features": 16}, "too small for extended L2"),
        ({"refcount_order": 7}, "reference counts of 2^7 bits"),
        ({"refcount_order": 0xFFFFFFFF}, "reference counts of"),
        ({"header_length": 96}, "96 bytes long"),
        ({"header_length": 109}, "109 bytes long"),
        ({"header_length": CLUSTER + 8}, "which cannot be"),
        ({"header_length": 0xFFFFFFF8}, "which cannot be"),
        ({"size": 0}, "virtual size is zero"),
        ({"size": 1 << 63}, "cannot be"),
        ({"l1_size": 0}, "L1 table of 0 entries"),
        ({"l1_size": 0xFFFFFFFF}, "L1 table of 4294967295 entries"),
        ({"size": 1 << 40}, "L1 table of 1 entries does not fit"),
        ({"l1_table_offset": 0}, "L1 table cannot be at byte 0"),
        ({"l1_table_offset": 3 * CLUSTER + 8}, "L1 table cannot be at"),
        ({"l1_table_offset": 1 << 62}, "L1 table cannot be at"),
        ({"l1_table_offset": 1 << 40}, "L1 table lies behind the end"),
        ({"refcount_table_offset": 0}, "reference count table cannot be at"),
        ({"refcount_table_offset": 1 << 63}, "reference count table cannot be at"),
        ({"refcount_table_clusters": 0}, "reference count table of 0 clusters"),
        ({"refcount_table_clusters": 0xFFFFFFFF}, "reference count table of 4294967295"),
        ({"nb_snapshots": 0xFFFFFFFF, "snapshots_offset": CLUSTER}, "internal snapshots are too many"),
        ({"nb_snapshots": 1, "snapshots_offset": 8}, "snapshot table cannot be at"),
        ({"nb_snapshots": 1, "snapshots_offset": 1 << 30}, "snapshot table lies behind"),
        ({"incompatible_features": 8}, "compression type 0"),
        ({"compression_type": 1}, "compression type 1"),
        ({"incompatible_features": 8, "compression_type": 2}, "compression type 2"),
        ({"extensions": extension(DATA_FILE_NAME, b"/etc/shadow")}, "names another file"),
        ({"extensions": extension(1, b"x") + extension(DATA_FILE_NAME, b"/etc/shadow")}, "names another file"),
        ({"extensions": extension(ENCRYPTION, bytes(16))}, "is encrypted"),
        ({"extensions": extension(1, b"", length=0xFFFFFFFF)}, "extensions are damaged"),
    ],
)
def test_a_hostile_qcow2_is_refused_from_its_header(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidImage, match=re.escape(said)):
        look(header(**changes))


def test_a_qcow2_larger_than_its_volume_is_refused() -> None:
    with pytest.raises(ImageTooLarge) as exc:
        look(header(), capacity=8 * MIB - 1)
    assert exc.value.fields == {"size": 8 * MIB, "volume": "local/disk0", "limit": 8 * MIB - 1}


@pytest.mark.parametrize("length", [4, 71, 103])
def test_a_qcow2_that_ends_in_its_header_is_refused(length: int) -> None:
    with pytest.raises(InvalidImage, match="ends within its qcow2 header"):
        look(header()[:length], length=length)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (header(), "qcow2"),
        (b"QFI\xfb\0\0\0\1", "qcow"),
        (b"QED\0", "qed"),
        (b"KDMV\1\0\0\0", "vmdk"),
        (b"COWD\1\0\0\0", "COWD"),
        (b"# Disk DescriptorFile\nversion=1\nCID=", "a VMDK that lists other files"),
        (b"\n# a comment\r\n  VERSION = 3\n", "a VMDK that lists other files"),
        (b"vhdxfile", "vhdx"),
        (b"conectix", "vpc"),
        (b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe", "vdi"),
        (b"WithouFreSpacExt", "Parallels"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh9", "bzip2"),
        (b"PK\3\4", "zip"),
        (b"box.ovf".ljust(257, b"\0") + b"ustar", "OVA"),
    ],
)
def test_raw_that_is_something_else_is_refused_by_its_name(head: bytes, name: str) -> None:
    with pytest.raises(InvalidImage, match=f'declared "raw", but its first bytes are those of {name}'):
        look(head.ljust(512, b"\0"), "raw", length=512)


@pytest.mark.parametrize(
    "head",
    [b"\0", bytes(4096), b"\xeb\x63\x90".ljust(510, b"\0") + b"\x55\xaa", b"LUKS\xba\xbe", b"version of a text\n"],
)
def test_raw_is_what_a_disk_may_begin_with(head: bytes) -> None:
    assert look(head, "raw", length=len(head)) == Image("raw", len(head), as_it_comes=True)
    assert look(head, "raw", length=None) == Image("raw", None, as_it_comes=True)


def test_raw_larger_than_its_volume_is_refused() -> None:
    assert look(b"x", "raw", capacity=MIB, length=MIB)
    with pytest.raises(ImageTooLarge):
        look(b"x", "raw", capacity=MIB, length=MIB + 1)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"KDMV".ljust(512, b"\0"), "those of vmdk"),
        (bytes(512), "does not begin like one"),
        (b"QFI\xfb\0\0\0\1".ljust(512, b"\0"), "those of qcow"),
    ],
)
def test_content_that_denies_qcow2_is_refused(head: bytes, said: str) -> None:
    with pytest.raises(InvalidImage, match=said):
        look(head)


@pytest.mark.parametrize("declared", ["raw", "qcow2"])
def test_an_empty_upload_is_refused(declared: str) -> None:
    with pytest.raises(InvalidImage, match=r"^The image cannot be accepted: the upload is empty\.$"):
        look(b"", declared, length=None)


def test_formats_that_are_not_accepted_and_names_of_none_are_told_apart() -> None:
    either = '"raw", "qcow2", "qed", "vmdk", "vdi", "vpc" or "vhdx"'
    with pytest.raises(InvalidImage, match=f'format "ova" is not accepted, {either} is'):
        look(b"KDMV", "ova")
    with pytest.raises(InvalidInput) as exc:
        look(b"x", "floppy")
    assert exc.value.fields == {"image_format": f"must be {either}"}


@given(st.binary(max_size=HEAD_BYTES), st.sampled_from(ACCEPTED), st.none() | st.integers(0, 1 << 64))
def test_whatever_comes_is_accepted_or_refused(head: bytes, declared: str, length: int | None) -> None:
    _look_at(head, declared, length)


@given(st.data())
def test_any_damage_to_a_header_is_accepted_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(header())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(4, 127))] = data.draw(st.integers(0, 255))
    _look_at(bytes(damaged), "qcow2", LENGTH)


def _look_at(head: bytes, declared: str, length: int | None) -> None:
    try:
        image = look(head, declared, length=length)
    except PVCError as exc:
        assert str(exc).endswith(".")
    else:
        assert image.virtual_size is None or 0 <= image.virtual_size <= GIB
