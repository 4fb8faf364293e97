"""The QED header. A backing file, unknown features and tables without bound are refused. Pure.

Source: QEMU's docs/interop/qed_spec; the limits are those of its driver, or narrower.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pvc.errors import InvalidImage
from pvc.units import KIB, MIB

_HEADER = struct.Struct("<4sIIIQQQQQII")
_BACKING_FILE, _NEED_CHECK = 1, 2
_BACKING_RAW = 4
_TABLE_LIMIT = 16 * MIB


def virtual_size(head: bytes, length: int | None) -> int:
    """Return the bytes that a guest would see. length: of the file, where known. Raises InvalidImage."""
    if len(head) < _HEADER.size:
        raise InvalidImage(problem="it ends within its QED header")
    fields = _HEADER.unpack_from(head)
    for problem in _problems(fields, length):
        raise InvalidImage(problem=problem)
    return int(fields[8])


def _problems(fields: tuple[int, ...], length: int | None) -> Iterator[str]:
    _, cluster, table, header, features, _, _, l1_at, size, name_at, name_size = fields
    if features & (_BACKING_FILE | _BACKING_RAW) or name_at or name_size:
        yield "it has a backing file; make it self-contained first"
    if unknown := features & ~_NEED_CHECK:
        yield f"it needs QED features that are unknown here (bits {unknown:#x})"
    if not 4 * KIB <= cluster <= 64 * MIB or cluster & (cluster - 1):
        yield f"its QED header asks for clusters of {cluster} bytes, powers of 2 from 4096 to 67108864 are allowed"
    if not 1 <= table <= 16 or table & (table - 1) or table * cluster > _TABLE_LIMIT:
        yield f"its QED header asks for tables of {table} clusters, which cannot be"
    if not 1 <= header <= MIB // 4 // KIB:
        yield f"its QED header says that it is {header} clusters long, which cannot be"
    if size == 0:
        yield "its virtual size is zero"
    entries = table * cluster // 8
    if size % 512 or size >= 1 << 63 or size > entries * entries * cluster:
        yield f"its virtual size of {size} bytes cannot be"
    if l1_at < cluster or l1_at % cluster or l1_at >= 1 << 56:
        yield f"its L1 table cannot be at byte {l1_at}"
    if length is not None and l1_at + table * cluster > length:
        yield "its L1 table lies behind the end of the file"
