"""Images without their holes, framed."""

from __future__ import annotations

import struct
from collections.abc import Iterable


def frame(start: int, data: bytes = b"") -> bytes:
    return struct.pack(">QQ", start, len(data)) + data


def framed(size: int, data: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(frame(start, piece) for start, piece in data) + frame(size)
