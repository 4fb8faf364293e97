"""Image formats by name and by their first bytes."""

from __future__ import annotations

import re

ACCEPTED = ("raw", "qcow2", "qed", "vmdk", "vdi", "vpc", "vhdx")
_OTHERS = ("ova", "parallels", "qcow", "vhd")
KNOWN = ACCEPTED + _OTHERS
EITHER = ", ".join(f'"{name}"' for name in ACCEPTED[:-1]) + f' or "{ACCEPTED[-1]}"'

_MAGIC: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes there, what it is
    (0, b"QFI\xfb\0\0\0\1", "qcow"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "COWD"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "Parallels"),
    (0, b"WithouFreSpacExt", "Parallels"),
    (0, b"Bochs Virtual HD Image", "Bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "cloop"),
    (0, b"PK\3\4", "zip"),
)
_VMDK_TEXT = re.compile(rb"(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t]*version[ \t]*=[ \t]*[123]\s", re.IGNORECASE)


def recognise(head: bytes) -> str | None:
    """Name the format whose header stands in the first bytes; None when they could be a disk's own.

    Those of packed data are known by unwrap.packing.
    """
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    if _VMDK_TEXT.match(head):
        return "a VMDK that lists other files"
    if head.startswith(b"ustar", 257) and head[:100].rstrip(b"\0").lower().endswith(b".ovf"):
        return "OVA"
    return None
