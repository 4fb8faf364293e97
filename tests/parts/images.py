"""Headers of QED, VDI, VHD and VHDX made by hand, each field open to mischief. All are of disks of 8 MiB."""

from __future__ import annotations

import struct
import uuid
from typing import Any

SIZE = 8 << 20
_MIB = 1 << 20

_QED = {  # name: (struct code, what an honest image has)
    "magic": ("4s", b"QED\0"),
    "cluster_size": ("I", 65536),
    "table_size": ("I", 4),
    "header_size": ("I", 1),
    "features": ("Q", 0),
    "compat_features": ("Q", 0),
    "autoclear_features": ("Q", 0),
    "l1_table_offset": ("Q", 65536),
    "image_size": ("Q", SIZE),
    "backing_filename_offset": ("I", 0),
    "backing_filename_size": ("I", 0),
}
_VDI = {
    "text": ("64s", b"<<< Oracle VM VirtualBox Disk Image >>>\n"),
    "signature": ("I", 0xBEDA107F),
    "version": ("I", 0x00010001),
    "header_size": ("I", 400),
    "image_type": ("I", 1),
    "image_flags": ("I", 0),
    "description": ("256s", b""),
    "offset_bmap": ("I", 512),
    "offset_data": ("I", 1024),
    "geometry": ("12s", b""),
    "sector_size": ("I", 512),
    "unused": ("I", 0),
    "disk_size": ("Q", SIZE),
    "block_size": ("I", _MIB),
    "block_extra": ("I", 0),
    "blocks_in_image": ("I", 8),
    "blocks_allocated": ("I", 0),
    "uuid_image": ("16s", b"i" * 16),
    "uuid_last_snap": ("16s", b"s" * 16),
    "uuid_link": ("16s", b""),
    "uuid_parent": ("16s", b""),
}
_FOOTER = {
    "cookie": ("8s", b"conectix"),
    "features": ("I", 2),
    "version": ("I", 0x10000),
    "data_offset": ("Q", 512),
    "timestamp": ("I", 0),
    "creator": ("12s", b"qem2"),
    "original_size": ("Q", SIZE),
    "current_size": ("Q", SIZE),
    "geometry": ("I", 0),
    "type": ("I", 3),
    "checksum": ("I", 0),
}
_DYNAMIC = {
    "cookie": ("8s", b"cxsparse"),
    "next": ("Q", (1 << 64) - 1),
    "table_offset": ("Q", 1536),
    "version": ("I", 0x10000),
    "max_table_entries": ("I", 4),
    "block_size": ("I", 2 * _MIB),
    "checksum": ("I", 0),
    "parent": ("16s", b""),
    "rest": ("968s", b""),
}

METADATA, BAT = "8b7ca206-4790-4b9a-b8fe-575f050f886e", "2dc27766-f623-4200-9d64-115e9bfd4a08"
PARAMETERS, DISK_SIZE = "caa16737-fa36-4d43-b3b6-33f0aa44e76b", "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
PARENT_LOCATOR = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"


def _packed(order: str, fields: dict[str, tuple[str, Any]], changes: dict[str, Any]) -> bytes:
    assert changes.keys() <= fields.keys()
    values = [changes.get(name, honest) for name, (_, honest) in fields.items()]
    return struct.pack(order + "".join(code for code, _ in fields.values()), *values)


def qed(**changes: Any) -> bytes:
    return _packed("<", _QED, changes).ljust(65536, b"\0") + bytes(4 * 65536)


def vdi(**changes: Any) -> bytes:
    return _packed("<", _VDI, changes).ljust(512, b"\0") + b"\xff" * 512


def vhd_footer(**changes: Any) -> bytes:
    """Its checksum is right unless it is given."""
    footer = _packed(">", _FOOTER, changes).ljust(512, b"\0")
    right = ~sum(footer) & 0xFFFFFFFF
    return footer if "checksum" in changes else footer[:64] + struct.pack(">I", right) + footer[68:]


def vhd(footer: bytes | None = None, **changes: Any) -> bytes:
    """A dynamic one. changes: of its second header."""
    first = vhd_footer() if footer is None else footer
    return first + _packed(">", _DYNAMIC, changes) + b"\xff" * 512 + first


def vhdx(
    *,
    regions: list[tuple[str, int, int, int]] | None = None,
    items: list[tuple[str, bytes, int]] | None = None,
    metadata_at: int = 2 * _MIB,
) -> bytes:
    """Without headers or block table: enough for what reads the metadata. regions: what, where, bytes, required."""
    table = regions or [(BAT, 3 * _MIB, _MIB, 1), (METADATA, metadata_at, _MIB, 1)]
    rows = b"".join(uuid.UUID(name).bytes_le + struct.pack("<QII", *rest) for name, *rest in table)
    image = b"vhdxfile".ljust(192 << 10, b"\0") + struct.pack("<4sIII", b"regi", 0, len(table), 0) + rows
    return image.ljust(metadata_at, b"\0") + vhdx_metadata(items).ljust(_MIB, b"\0")


def vhdx_metadata(items: list[tuple[str, bytes, int]] | None = None) -> bytes:
    """items: what, its data, flags."""
    kept = items or [(PARAMETERS, struct.pack("<II", _MIB, 0), 4), (DISK_SIZE, struct.pack("<Q", SIZE), 6)]
    rows, data = b"", b""
    for name, content, flags in kept:
        rows += uuid.UUID(name).bytes_le + struct.pack("<IIII", 65536 + len(data), len(content), flags, 0)
        data += content
    return (struct.pack("<8sHH", b"metadata", 0, len(kept)).ljust(32, b"\0") + rows).ljust(65536, b"\0") + data
