"""Image formats by name and by their first bytes."""

from __future__ import annotations

import re

ACCEPTED = ("raw", "qcow2")
_LATER = ("ova", "parallels", "qcow", "qed", "vdi", "vhd", "vhdx", "vmdk", "vpc")
KNOWN = ACCEPTED + _LATER

_MAGIC: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes there, what it is
    (0, b"QFI\xfb\0\0\0\1", "qcow"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "QED"),
    (0, b"KDMV", "VMDK"),
    (0, b"COWD", "VMDK"),
    (0, b"vhdxfile", "VHDX"),
    (0, b"conectix", "VHD"),
    (0x40, b"\x7f\x10\xda\xbe", "VDI"),
    (0, b"WithoutFreeSpace", "Parallels"),
    (0, b"WithouFreSpacExt", "Parallels"),
    (0, b"Bochs Virtual HD Image", "Bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "cloop"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"PK\3\4", "zip"),
)
_VMDK_TEXT = re.compile(rb"(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t]*version[ \t]*=[ \t]*[123]\s", re.IGNORECASE)


def recognise(head: bytes) -> str | None:
    """Name the format whose header stands in the first bytes; None when they could be a disk's own."""
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    if _VMDK_TEXT.match(head):
        return "VMDK"
    if head.startswith(b"ustar", 257) and head[:100].rstrip(b"\0").lower().endswith(b".ovf"):
        return "OVA"
    return None
