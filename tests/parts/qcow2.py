"""qcow2 headers made by hand, each field open to mischief."""

from __future__ import annotations

import struct
from typing import Any

CLUSTER = 65536

_FIELDS = {  # name: (struct code, what an honest 8 MiB image has)
    "magic": ("4s", b"QFI\xfb"),
    "version": ("I", 3),
    "backing_file_offset": ("Q", 0),
    "backing_file_size": ("I", 0),
    "cluster_bits": ("I", 16),
    "size": ("Q", 8 << 20),
    "crypt_method": ("I", 0),
    "l1_size": ("I", 1),
    "l1_table_offset": ("Q", 3 * CLUSTER),
    "refcount_table_offset": ("Q", CLUSTER),
    "refcount_table_clusters": ("I", 1),
    "nb_snapshots": ("I", 0),
    "snapshots_offset": ("Q", 0),
    "incompatible_features": ("Q", 0),
    "compatible_features": ("Q", 0),
    "autoclear_features": ("Q", 0),
    "refcount_order": ("I", 4),
    "header_length": ("I", 112),
    "compression_type": ("B7x", 0),
}
LENGTH = 3 * CLUSTER + 8  # of an honest file without data


def header(extensions: bytes = b"", **changes: Any) -> bytes:
    """The first cluster of an image. changes: fields by their names in QEMU's specification."""
    assert changes.keys() <= _FIELDS.keys()
    codes = ">" + "".join(code for code, _ in _FIELDS.values())
    values = [changes.get(name, honest) for name, (_, honest) in _FIELDS.items()]
    return (struct.pack(codes, *values) + extensions).ljust(CLUSTER, b"\0")


def extension(kind: int, data: bytes, length: int | None = None) -> bytes:
    padded = data.ljust(-(-len(data) // 8) * 8, b"\0")
    return struct.pack(">II", kind, len(data) if length is None else length) + padded


def empty_image() -> bytes:
    """A whole image of 8 MiB of zeroes that qemu-img accepts."""
    refcount_table = struct.pack(">Q", 2 * CLUSTER).ljust(CLUSTER, b"\0")
    refcounts = struct.pack(">4H", 1, 1, 1, 1).ljust(CLUSTER, b"\0")
    return header() + refcount_table + refcounts + bytes(8)
