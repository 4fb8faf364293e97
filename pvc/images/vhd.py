"""VHD, which QEMU calls vpc: the footer, which dynamic images also begin with, and fixed images in order.

Source: Microsoft's "Virtual Hard Disk Image Format Specification"; the limits are those of QEMU's own driver.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator

from pvc.errors import InvalidImage
from pvc.images.body import Body
from pvc.units import MIB

FOOTER_BYTES = 512
COOKIE = b"conectix"

_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII")
_SPARSE = struct.Struct(">8sQQIIII16s")
_CREATOR_AT, _CHECKSUM_AT = 28, 64
_TRUSTED = b"qem2"
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_LARGEST = 0xFF000000 * 512
_TABLE_LIMIT = 16 * MIB  # entries


def is_fixed(head: bytes) -> bool:
    """Whether it must be a fixed one if it is a VHD at all: nothing but its end tells."""
    return not head.startswith(COOKIE)


def virtual_size(head: bytes, length: int | None) -> int | None:
    """Return the bytes that a guest would see; of a fixed image of unknown length None.

    length: of the file, where known. Raises InvalidImage.
    """
    if is_fixed(head):
        return None if length is None else max(length - FOOTER_BYTES, 0)
    if len(head) < FOOTER_BYTES:
        raise InvalidImage(problem="it ends within its VHD header")
    for problem in _dynamic_problems(head, length):
        raise InvalidImage(problem=problem)
    return int(_FOOTER.unpack_from(head)[9])


async def by_current_size(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a dynamic image as QEMU must see it to take the size that is checked here.

    It takes another one, from the geometry, where it does not know the program that made the image.
    """
    body = Body(chunks, "it ends within its VHD header")
    footer = await body.exactly(FOOTER_BYTES)
    named = footer[:_CREATOR_AT] + _TRUSTED + footer[_CREATOR_AT + len(_TRUSTED) :]
    yield named[:_CHECKSUM_AT] + _checksum(named).to_bytes(4, "big") + named[_CHECKSUM_AT + 4 :]
    async for chunk in body.rest():
        yield chunk


async def fixed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what a fixed image holds. Raises InvalidImage at its end, where its footer must be."""
    body, held, size = Body(chunks, "it ends within its VHD footer"), b"", 0
    async for chunk in body.rest():
        held += chunk
        if data := held[:-FOOTER_BYTES]:
            size += len(data)
            yield data
            held = held[-FOOTER_BYTES:]
    if not held.startswith(COOKIE) or len(held) < FOOTER_BYTES:
        raise InvalidImage(problem='it was declared "vpc", but neither begins nor ends like one')
    fields = _FOOTER.unpack_from(held)
    for problem in _footer_problems(fields, held, _FIXED):
        raise InvalidImage(problem=problem)
    if fields[9] != size:
        raise InvalidImage(problem=f"its footer says that it has {fields[9]} bytes, it has {size}")


def _footer_problems(fields: tuple[int, ...], footer: bytes, kind: int) -> Iterator[str]:
    if fields[13] == _DIFFERENCING:
        yield "it has a parent; make it self-contained first"
    if fields[13] != kind:
        yield f"its VHD header says that it is of the kind {fields[13]}, which cannot be"
    if fields[14] != _checksum(footer[:FOOTER_BYTES]):
        yield "the checksum of its VHD header is wrong"
    if fields[9] == 0:
        yield "its virtual size is zero"
    if fields[9] > _LARGEST or fields[9] % 512:
        yield f"its virtual size of {fields[9]} bytes cannot be"


def _checksum(footer: bytes) -> int:
    return ~(sum(footer) - sum(footer[_CHECKSUM_AT : _CHECKSUM_AT + 4])) & 0xFFFFFFFF


def _dynamic_problems(head: bytes, length: int | None) -> Iterator[str]:
    fields = _FOOTER.unpack_from(head)
    yield from _footer_problems(fields, head, _DYNAMIC)
    start = fields[3]
    if start < FOOTER_BYTES or start % 512 or start + 1024 > len(head):
        yield f"its VHD header goes on at byte {start}, where it cannot be"
        return
    cookie, _, table_at, _, entries, block, _, parent = _SPARSE.unpack_from(head, start)
    if cookie != b"cxsparse":
        yield "its VHD header does not go on as it should"
    if parent != bytes(16) or any(head[start + 576 : start + 768]):
        yield "it has a parent; make it self-contained first"
    if not 512 <= block <= 256 * MIB or block & (block - 1):
        yield f"blocks of {block} bytes are not allowed, only powers of 2 from 512 to {256 * MIB}"
    if entries > _TABLE_LIMIT or entries * block < fields[9]:
        yield f"its virtual size of {fields[9]} bytes does not fit its {entries} blocks"
    if table_at < 512 or table_at % 512 or table_at >= 1 << 56:
        yield f"its block table cannot be at byte {table_at}"
    if length is not None and table_at + entries * 4 > length:
        yield "its block table lies behind the end of the file"
