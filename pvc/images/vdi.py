"""The header of VirtualBox's VDI. Parents, other versions and sizes that do not add up are refused. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pvc.errors import InvalidImage
from pvc.units import MIB

_HEADER = struct.Struct("<IIIII256xIIIIIIIQIIII16s16s16s16s")
_AT = 64  # behind a text
_VERSION = 0x00010001
_DYNAMIC, _STATIC = 1, 2
_LARGEST = 0x3FFFFFFF * MIB  # of QEMU's driver
_NOBODY = bytes(16)


def virtual_size(head: bytes, length: int | None) -> int:
    """Return the bytes that a guest would see. length: of the file, where known. Raises InvalidImage."""
    if len(head) < _AT + _HEADER.size:
        raise InvalidImage(problem="it ends within its VDI header")
    fields = _HEADER.unpack_from(head, _AT)
    for problem in _problems(fields, length):
        raise InvalidImage(problem=problem)
    return -(-int(fields[12]) // 512) * 512


def _problems(fields: tuple[int | bytes, ...], length: int | None) -> Iterator[str]:
    numbers = [field for field in fields if isinstance(field, int)]
    _, version, _, kind, _, map_at, data_at, _, _, _, sector, _, size, block, _, blocks, stored = numbers
    *_, link, parent = fields
    if version != _VERSION:
        yield f"VDI version {version >> 16}.{version & 0xFFFF} is unknown, 1.1 is known"
    if link != _NOBODY or parent != _NOBODY or kind not in (_DYNAMIC, _STATIC):
        yield "it has a parent or is of another kind that is not self-contained"
    if sector != 512 or block != MIB:
        yield f"its sectors of {sector} and blocks of {block} bytes are not those of VirtualBox, 512 and {MIB}"
    if size == 0:
        yield "its virtual size is zero"
    if size > _LARGEST or blocks != -(-size // block) or stored > blocks:
        yield f"its virtual size of {size} bytes does not fit its {blocks} blocks"
    if map_at < 512 or map_at % 512 or data_at % 512 or data_at < map_at + blocks * 4:
        yield f"its block map cannot be at byte {map_at} and its data at {data_at}"
    if length is not None and data_at > length:
        yield "its data lies behind the end of the file"
