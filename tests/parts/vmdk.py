"""Stream-optimised VMDKs made by hand, each field open to mischief."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any

SECTOR = 512
GRAIN = 64 * 1024
OVERHEAD = 128  # sectors
END, TABLE, DIRECTORY, FOOTER = range(4)
AT_END = (1 << 64) - 1

_FIELDS = {  # name: (struct code, what an honest 1 MiB image has)
    "magic": ("4s", b"KDMV"),
    "version": ("I", 3),
    "flags": ("I", 0x30001),
    "capacity": ("Q", 2048),
    "grainSize": ("Q", 128),
    "descriptorOffset": ("Q", 1),
    "descriptorSize": ("Q", 20),
    "numGTEsPerGT": ("I", 512),
    "rgdOffset": ("Q", 0),
    "gdOffset": ("Q", AT_END),
    "overHead": ("Q", OVERHEAD),
    "uncleanShutdown": ("B", 0),
    "lineEnds": ("4s", b"\n \r\n"),
    "compressAlgorithm": ("H", 1),
}

DESCRIPTION = """# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RDONLY 2048 SPARSE "disk.vmdk"

#DDB
ddb.adapterType = "lsilogic"
"""


def header(description: str = DESCRIPTION, **changes: Any) -> bytes:
    """Everything before the grains. changes: fields by their names in VMware's specification."""
    return (sector(**changes) + description.encode()).ljust(OVERHEAD * SECTOR, b"\0")


def sector(**changes: Any) -> bytes:
    assert changes.keys() <= _FIELDS.keys()
    codes = "<" + "".join(code for code, _ in _FIELDS.values())
    values = [changes.get(name, honest) for name, (_, honest) in _FIELDS.items()]
    return struct.pack(codes, *values).ljust(SECTOR, b"\0")


def padded(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0")


def grain(number: int, data: bytes, *, size: int | None = None) -> bytes:
    """size: what the marker says."""
    return stored(number * GRAIN // SECTOR, zlib.compress(data), size=size)


def stored(lba: int, deflated: bytes, *, size: int | None = None) -> bytes:
    return padded(struct.pack("<QI", lba, len(deflated) if size is None else size) + deflated)


def marker(kind: int, data: bytes = b"", *, sectors: int | None = None) -> bytes:
    count = len(data) // SECTOR if sectors is None else sectors
    return padded(struct.pack("<QII", count, 0, kind)) + data


def tail() -> bytes:
    return (
        marker(TABLE, bytes(4 * SECTOR))
        + marker(DIRECTORY, bytes(SECTOR))
        + marker(FOOTER, sector(gdOffset=0))
        + marker(END)
    )


def image(grains: Iterable[bytes], description: str = DESCRIPTION, **changes: Any) -> bytes:
    return header(description, **changes) + b"".join(grains) + tail()
