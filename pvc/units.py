"""Sizes as people write them, converted once at the edge; inside pvc a size is an int of bytes."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_SUFFIX = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB, "P": 1024 * TIB}
_SIZE = re.compile(r"([0-9]{1,30})\s*(?:([KMGTP])(?:iB|B)?|B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return bytes for "10G", "512 MiB" or "4096"; suffixes are powers of 1024, in either case.

    Raises ValueError with a phrase that follows the argument's name.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError('must be a whole number of bytes or have a suffix K, M, G, T or P, like "10G"')
    size = int(match[1]) * _SUFFIX[(match[2] or "").upper()]
    if size <= 0:
        raise ValueError("must be more than zero")
    return size


def exact_size(size: int) -> str:
    """As `format_size` where that rounds nothing, else "12956160 bytes"."""
    text = format_size(size)
    return f"{size} bytes" if "." in text else text


def format_size(size: int) -> str:
    """Return a short exact-looking size: "10G" for whole units, else one decimal, "1.5G"."""
    for suffix, unit in reversed(_SUFFIX.items()):
        if suffix and size >= unit:
            whole, rest = divmod(size, unit)
            return f"{whole}{suffix}" if rest == 0 else f"{size / unit:.1f}{suffix}"
    return f"{size}B"
