"""The header of a sparse VMDK and the description in it. What could make QEMU open another file is refused. Pure.

Source: VMware's "Virtual Disk Format 5.0"; the limits are those of QEMU's own driver, or narrower.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pvc.errors import InvalidImage
from pvc.units import KIB, MIB

SECTOR = 512
HEAD_BYTES = 64 * KIB  # what `read` needs to see, unless the image is shorter
TABLE_ENTRIES = 512  # of a grain table
AT_END = (1 << 64) - 1  # as place of the directory: a footer has it

_MAGIC = b"KDMV"
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_COMPRESSED, _MARKERS = 1 << 16, 1 << 17
_DEFLATE = 1
_LINE_ENDS = b"\n \r\n"
_DESCRIPTION_SECTORS = 20  # QEMU looks there for a parent, whatever the header says
_DESCRIPTION_LIMIT = HEAD_BYTES - SECTOR
_OVERHEAD_LIMIT = 1 << 32
_DIRECTORY_LIMIT = 32 * MIB

_EXTENT = re.compile(r'(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)(?:\s+"([^"]*)")?.*')
_SPARSE_TYPES = ("monolithicSparse", "streamOptimized")


@dataclass(frozen=True, slots=True)
class Header:
    """capacity: what a guest sees; grain: how much of it is kept together; overhead: where the grains begin; bytes.

    directory: byte where the directory of grain tables is, None where a footer says it.
    """

    flags: int
    capacity: int
    grain: int
    overhead: int
    directory: int | None
    compression: int

    @property
    def in_order(self) -> bool:
        """Whether it is stream-optimised: each grain says where it belongs."""
        return bool(self.flags & _COMPRESSED) and bool(self.flags & _MARKERS)

    @property
    def tables(self) -> int:
        """How many grain tables the capacity takes."""
        return -(-self.capacity // (self.grain * TABLE_ENTRIES))

    @property
    def directory_sectors(self) -> int:
        return -(-self.tables * 4 // SECTOR)


def read(head: bytes) -> Header:
    """head: the first HEAD_BYTES, or all. Raises InvalidImage."""
    if len(head) < SECTOR:
        raise InvalidImage(problem="it ends within its VMDK header")
    fields = _HEADER.unpack_from(head)
    for problem in _problems(fields, head):
        raise InvalidImage(problem=problem)
    _, _, flags, capacity, grain, _, _, _, _, directory, overhead, _, _, compression = fields
    place = None if directory == AT_END else directory * SECTOR
    return Header(flags, capacity * SECTOR, grain * SECTOR, overhead * SECTOR, place, compression)


def check_for_qemu(header: Header) -> None:
    """Of an image that is not decoded in order. Raises InvalidImage."""
    if header.flags & (_COMPRESSED | _MARKERS):
        raise InvalidImage(problem="its flags are those of half a stream-optimised VMDK")
    if header.directory is None:
        raise InvalidImage(problem="it has a footer, which only a stream-optimised VMDK can have")
    if header.tables * 4 > _DIRECTORY_LIMIT:
        raise InvalidImage(problem=f"its virtual size of {header.capacity} bytes takes too many grain tables")


def same_disk(footer: bytes, header: Header) -> bool:
    magic, _, _, capacity, grain, *_ = _HEADER.unpack_from(footer)
    return bool(magic == _MAGIC) and (capacity * SECTOR, grain * SECTOR) == (header.capacity, header.grain)


def _problems(fields: tuple[Any, ...], head: bytes) -> Iterator[str]:
    magic, version, flags, capacity, grain, text_at, text_sectors, entries, *_, overhead, _, ends, compression = fields
    if magic != _MAGIC:
        yield "it does not begin with the header of a sparse VMDK"
    if version not in (1, 2, 3):
        yield f"VMDK version {version} is unknown, 1 to 3 are known"
    if flags & 1 and ends != _LINE_ENDS:
        yield "its line ends were changed on the way, as by a transfer of text"
    if capacity == 0:
        yield "its virtual size is zero"
    if capacity >= (1 << 63) // SECTOR:
        yield f"its virtual size of {capacity} sectors cannot be"
    if not 8 <= grain <= 2 * MIB // SECTOR or grain & (grain - 1):
        yield f"grains of {grain} sectors are not allowed, only powers of 2 from 8 to {2 * MIB // SECTOR}"
    if entries != TABLE_ENTRIES:
        yield f"grain tables of {entries} entries are not allowed, only of {TABLE_ENTRIES}"
    if compression > _DEFLATE or (compression == _DEFLATE) != bool(flags & _COMPRESSED):
        yield f"its compression {compression} is unknown"
    if not 1 <= overhead < _OVERHEAD_LIMIT:
        yield f"its grains cannot begin at sector {overhead}"
    yield from _description_problems(text_at, text_sectors, head)


def _description_problems(start: int, sectors: int, head: bytes) -> Iterator[str]:
    if start != 1 or not 1 <= sectors <= _DESCRIPTION_LIMIT // SECTOR:
        yield "its description is not where it belongs, behind the header"
    seen = head[SECTOR : SECTOR * (1 + max(sectors, _DESCRIPTION_SECTORS))]
    if b"parentfilenamehint" in seen.lower():
        yield "it names a parent; make it self-contained first"
    text = seen[: sectors * SECTOR].partition(b"\0")[0].decode("utf-8", errors="replace")
    settings = dict(_setting(line) for line in text.splitlines() if "=" in line)
    if settings.get("parentcid", "ffffffff").lower() != "ffffffff":
        yield "it has a parent; make it self-contained first"
    if (kind := settings.get("createtype", "")) not in _SPARSE_TYPES:
        yield f'its kind is "{_printable(kind)}", only "{_SPARSE_TYPES[0]}" and "{_SPARSE_TYPES[1]}" are accepted'
    yield from _extent_problems([match for line in text.splitlines() if (match := _EXTENT.fullmatch(line.strip()))])


def _setting(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _extent_problems(extents: list[re.Match[str]]) -> Iterator[str]:
    if len(extents) != 1:
        yield f"its description names {len(extents)} extents, only one, which is the image itself, is accepted"
        return
    kind, name = extents[0].groups(default="")
    if kind != "SPARSE" or not name or "/" in name or "\\" in name:
        yield f'its description names "{_printable(name or kind)}", which is not the image itself'


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:100]
