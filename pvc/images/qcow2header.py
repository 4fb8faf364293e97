"""The qcow2 header. What could make QEMU open another file, allocate without bound or guess is refused. Pure.

Source: https://www.qemu.org/docs/master/interop/qcow2.html; the limits are those of QEMU's own driver.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pvc.errors import InvalidImage
from pvc.units import MIB

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")  # follows _V2
_EXTENSION = struct.Struct(">II")  # kind, length

_CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1 << 1, 1 << 2, 1 << 3, 1 << 4
_KNOWN_FEATURES = 0b11111  # bit 0: dirty, which matters to writers only
_DATA_FILE_NAME = 0x44415441
_ENCRYPTION = 0x0537BE77

_L1_LIMIT, _REFCOUNT_LIMIT, _SNAPSHOTS_LIMIT = 32 * MIB, 8 * MIB, 65536  # bytes, bytes, count


@dataclass(frozen=True, slots=True)
class Header:
    """size: bytes that a guest sees."""

    version: int
    backing_file: int
    cluster_bits: int
    size: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int
    features: int = 0
    refcount_order: int = 4
    length: int = _V2.size

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits

    @property
    def as_it_comes(self) -> bool:
        """Whether images.qcow2 decodes it; else qemu-img does."""
        return self.cluster_bits >= 16 and not self.features & _EXTENDED_L2

    @property
    def zstd(self) -> bool:
        """How compressed clusters are packed: so, or deflated."""
        return bool(self.features & _COMPRESSION)

    @property
    def covered(self) -> int:
        """Bytes of the disk that one L2 table tells of."""
        entry = 16 if self.features & _EXTENDED_L2 else 8
        return self.cluster * (self.cluster // entry)

    @property
    def l1_needed(self) -> int:
        """How many L1 entries the virtual size takes."""
        return -(-self.size // self.covered)


def read(head: bytes, length: int | None) -> Header:
    """head: the first 64 KiB, or all; length: of the file, where known. Raises InvalidImage."""
    header = _parse(head)
    for problem in _problems(header, head, length):
        raise InvalidImage(problem=problem)
    return header


def _parse(head: bytes) -> Header:
    if len(head) < _V2.size:
        raise InvalidImage(problem="it ends within its qcow2 header")
    _, version, backing, _, bits, size, encryption, l1, l1_at, ref_at, ref, snapshots, snapshots_at = _V2.unpack_from(
        head
    )
    fields = (version, backing, bits, size - size % 512, encryption, l1, l1_at, ref_at, ref, snapshots, snapshots_at)
    if version != 3:
        return Header(*fields)
    if len(head) < _V2.size + _V3.size:
        raise InvalidImage(problem="it ends within its qcow2 header")
    features, _, _, refcount_order, header_length = _V3.unpack_from(head, _V2.size)
    return Header(*fields, features, refcount_order, header_length)


def _problems(header: Header, head: bytes, length: int | None) -> Iterator[str]:
    """In this order: what comes first makes sure that the rest can be computed."""
    if header.version not in (2, 3):
        yield f"qcow2 version {header.version} is unknown, 2 and 3 are known"
    yield from _dangers(header)
    if not 9 <= header.cluster_bits <= 21:
        yield f"its qcow2 header asks for clusters of 2^{header.cluster_bits} bytes, 2^9 to 2^21 are allowed"
    yield from _shape(header, head)
    yield from _tables(header, length)
    yield from _extension_problems(header, head)


def _dangers(header: Header) -> Iterator[str]:
    if header.backing_file:
        yield "it has a backing file; make it self-contained first"
    if header.features & _DATA_FILE:
        yield "it keeps its data in another file; make it self-contained first"
    if header.encryption:
        yield "it is encrypted"
    if header.features & _CORRUPT:
        yield "it is marked as corrupt; repair it first"
    if unknown := header.features & ~_KNOWN_FEATURES:
        yield f"it needs qcow2 features that are unknown here (bits {unknown:#x})"


def _shape(header: Header, head: bytes) -> Iterator[str]:
    if header.version == 3 and (not 104 <= header.length <= header.cluster or header.length % 8):
        yield f"its qcow2 header says that it is {header.length} bytes long, which cannot be"
    if header.refcount_order > 6:
        yield f"its qcow2 header asks for reference counts of 2^{header.refcount_order} bits, at most 2^6 are allowed"
    if header.features & _EXTENDED_L2 and header.cluster_bits < 14:
        yield "its clusters are too small for extended L2 entries"
    compression = head[104] if header.length > 104 and len(head) > 104 else 0
    if bool(header.features & _COMPRESSION) != bool(compression) or compression > 1:
        yield f"its compression type {compression} is unknown"
    if header.size == 0:
        yield "its virtual size is zero"
    if header.size >= 1 << 63:
        yield f"its virtual size of {header.size} bytes cannot be"


def _tables(header: Header, length: int | None) -> Iterator[str]:
    if header.l1_entries < header.l1_needed or header.l1_entries * 8 > _L1_LIMIT:
        yield f"an L1 table of {header.l1_entries} entries does not fit its virtual size of {header.size} bytes"
    if header.refcount_clusters == 0 or header.refcount_clusters * header.cluster > _REFCOUNT_LIMIT:
        yield f"a reference count table of {header.refcount_clusters} clusters cannot be"
    if header.snapshots > _SNAPSHOTS_LIMIT:
        yield f"{header.snapshots} internal snapshots are too many"
    yield from _place("L1 table", header.l1_offset, header.l1_entries * 8, header, length)
    refcounts = header.refcount_clusters * header.cluster
    yield from _place("reference count table", header.refcount_offset, refcounts, header, None)
    if header.snapshots:
        yield from _place("snapshot table", header.snapshots_offset, header.snapshots * 40, header, length)


def _place(what: str, offset: int, size: int, header: Header, length: int | None) -> Iterator[str]:
    """length: None where a file may end before what it says it has, since zeroes follow."""
    if offset < header.cluster or offset % header.cluster or offset >= 1 << 56:
        yield f"its {what} cannot be at byte {offset}"
    if length is not None and offset + size > length:
        yield f"its {what} lies behind the end of the file"


def _extension_problems(header: Header, head: bytes) -> Iterator[str]:
    """Walk the extensions: those that name other files are refused even where the feature bits deny them."""
    offset, end = header.length, min(header.cluster, len(head))
    while offset + _EXTENSION.size <= end:
        kind, size = _EXTENSION.unpack_from(head, offset)
        if kind == 0:
            return
        if kind == _DATA_FILE_NAME:
            yield "it names another file for its data; make it self-contained first"
        if kind == _ENCRYPTION:
            yield "it is encrypted"
        offset += _EXTENSION.size + -(-size // 8) * 8
    if offset > end:
        yield "its qcow2 header extensions are damaged or too long"
