"""qcow2 images made by hand, with tables that say what no honest writer's would, and what there is to say of them."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from backports import zstd

from pvc.units import GIB, KIB
from tests.parts.qcow2 import CLUSTER, header

COUNT_TABLE, COUNTS, L1, FIRST = 1, 2, 3, 4  # numbers of clusters in the file
COPIED, PACKED, ZERO = 1 << 63, 1 << 62, 1
ENTRIES = CLUSTER // 8
ZSTD: dict[str, Any] = {"incompatible_features": 8, "compression_type": 1}
TWO_TABLES: dict[str, Any] = {"size": GIB, "l1_size": 2}

_COUNT_TABLE = {0: COUNTS * CLUSTER}


def table(entries: Mapping[int, int]) -> bytes:
    """A cluster of them, by their numbers."""
    return struct.pack(f">{ENTRIES}Q", *(entries.get(number, 0) for number in range(ENTRIES)))


def at(cluster: int) -> int:
    """An entry for a plain cluster there in the file, or for an L2 table."""
    return COPIED | cluster * CLUSTER


def packed(place: int, length: int) -> int:
    """An entry for so many packed bytes at that place in the file."""
    sectors = (place + length - 1) // 512 - place // 512
    return PACKED | sectors << 54 | place


def image(
    l1: Mapping[int, int], clusters: dict[int, bytes], counts: Mapping[int, int] = _COUNT_TABLE, **changes: Any
) -> bytes:
    """clusters: from FIRST on, by their numbers in the file; changes: of the header."""
    parts = {0: header(**changes), COUNT_TABLE: table(counts), L1: table(l1)} | clusters
    end = max(number * CLUSTER + len(data) for number, data in parts.items())
    found = bytearray(end)
    for number, data in parts.items():
        found[number * CLUSTER : number * CLUSTER + len(data)] = data
    return bytes(found)


def noise(seed: int, length: int = CLUSTER) -> bytes:
    return random.Random(seed).randbytes(length)


def text(seed: int, length: int = CLUSTER) -> bytes:
    """Packs well."""
    return b" ".join(b"%d" % (number * seed % 977) for number in range(length // 2))[:length]


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-12)
    return packer.compress(data) + packer.flush()


def wide(data: bytes, window: int, **options: int) -> bytes:
    parameter = zstd.CompressionParameter
    chosen: dict[int, int] = {parameter.window_log: window, parameter.content_size_flag: 0}
    chosen |= {parameter[name]: value for name, value in options.items()}
    packer = zstd.ZstdCompressor(options=chosen)
    return packer.compress(data) + packer.flush(packer.FLUSH_FRAME)


def one(l2: Mapping[int, int], data: dict[int, bytes], **changes: Any) -> bytes:
    """With one L2 table, before its data."""
    return image({0: at(FIRST)}, {FIRST: table(l2)} | data, **changes)


def late(l2: Mapping[int, int], data: dict[int, bytes], **changes: Any) -> bytes:
    """With one L2 table, behind its data."""
    end = max(data) + 1
    return image({0: at(end)}, data | {end: table(l2)}, **changes)


def holding(stored: bytes, **changes: Any) -> bytes:
    """What is stored for one packed cluster, which is the last thing in the file."""
    return one({3: packed(5 * CLUSTER + 100, len(stored))}, {5: bytes(100) + stored}, **changes)


A, B = noise(1), noise(2)
PRESSED = deflated(text(7))
NESTED = zlib.compress((noise(4, 3000) + PRESSED + A)[:CLUSTER], level=0, wbits=-12)
BOMB = deflated(bytes(100 << 20))
ZSTD_PRESSED = zstd.compress(text(7))
FULL_COUNTS = {number: (number + 900) * CLUSTER for number in range(100, ENTRIES)}

GOOD: dict[str, bytes] = {  # what is odd, but has one meaning
    "plain": one({0: at(5), 9: at(6)}, {5: A, 6: B}),
    "late": late({0: at(4), 9: at(5)}, {4: A, 5: B}),
    "the first of the clusters in the disk is the last in the file": one({0: at(6), 1: at(5)}, {5: A, 6: B}),
    "in the middle of its data": image({0: at(5)}, {4: A, 5: table({0: at(4), 127: at(6)}), 6: B}),
    "a table that is its own data": one({0: at(4), 1: at(5)}, {5: A}),
    "two tables": image({0: at(4), 1: at(6)}, {4: table({5: at(5)}), 5: A, 6: table({0: at(7)}), 7: B}, **TWO_TABLES),
    "tables upside down": image(
        {0: at(7), 1: at(6)}, {4: A, 5: B, 6: table({0: at(5)}), 7: table({1: at(4)})}, **TWO_TABLES
    ),
    "L1 at the end": image({}, {4: A, 5: table({2: at(4)}), 6: table({0: at(5)})[:8]}, l1_table_offset=6 * CLUSTER),
    "the L2 table is the last, and cut": late({0: at(4)}, {4: A})[: -CLUSTER + 8],
    "one cluster for two places, late": late({0: at(4), 9: at(4)}, {4: A}),
    "two tables that are one, late": image(
        {},
        {4: A, 5: table({3: at(4)}), 6: table({0: at(5), 1: at(5)})},
        l1_table_offset=6 * CLUSTER,
        **TWO_TABLES,
    ),
    "an entry with no place": one({0: COPIED, 1: at(5)}, {5: A}),
    "entries behind the end of the disk": one({0: at(5), 128: at(6), 129: at(999), 500: 12345}, {5: A, 6: B}),
    "L1 longer than needed": image({0: at(4), 1: at(3), 2: 12345}, {4: table({0: at(5)}), 5: A}, l1_size=4),
    "reserved bits": image({0: at(4) | 0x7F00_0000_0000_01FF}, {4: table({0: at(5) | 0x3F00_0000_0000_01FE}), 5: A}),
    "zero clusters": one({0: ZERO, 1: at(5) | ZERO, 2: at(6) | ZERO | 2}, {5: A, 6: B}),
    "zero clusters nowhere": one({0: at(99) | ZERO, 1: at(5)}, {5: A}),
    "packed": holding(PRESSED),
    "packed, with a wider window": holding(zlib.compress(noise(6, 9000) * 8, wbits=-15)),
    "packed and padded": holding(PRESSED + noise(3, 300)),
    "packed, zstd": holding(ZSTD_PRESSED, **ZSTD),
    "packed and padded, zstd": holding(ZSTD_PRESSED + noise(3, 300), **ZSTD),
    "packed over a border of clusters": one(
        {0: packed(6 * CLUSTER - 200, len(PRESSED))}, {5: bytes(CLUSTER - 200) + PRESSED}
    ),
    "packed without packing": one(
        {1: packed(5 * CLUSTER, CLUSTER + 20), 2: at(7)}, {5: deflated(A).ljust(2 * CLUSTER, b"\0"), 7: B}
    ),
    "packed, one within another": one(
        {0: packed(5 * CLUSTER, len(NESTED)), 1: packed(5 * CLUSTER + NESTED.index(PRESSED), len(PRESSED))}, {5: NESTED}
    ),
    "inflates to more": holding(deflated(text(7) + text(8))),
    "one packed cluster for many places": one(
        {number: packed(5 * CLUSTER, len(PRESSED)) for number in range(100)}, {5: PRESSED}
    ),
    "reference counts all over the file": one({0: at(5)}, {5: A}, counts=FULL_COUNTS),
    "a huge reference count table": image(
        {0: at(135)},
        {5: table(FULL_COUNTS) * 128, 133: A, 134: B, 135: table({0: at(133), 3: at(134)})},
        refcount_table_offset=5 * CLUSTER,
        refcount_table_clusters=128,
    ),
    "not whole clusters": one({0: at(5), 1: at(6)}, {5: A, 6: B}, size=CLUSTER + 1536),
    "not whole sectors": one({0: at(5), 1: at(6)}, {5: A, 6: B}, size=CLUSTER + 1636),
}

SAME, BEHIND, NOWHERE, DAMAGED = "at the same place", "ends before byte", "where no cluster begins", "is damaged"
BAD: dict[str, tuple[bytes, str]] = {
    "one cluster for two places": (one({0: at(5), 9: at(5)}, {5: A, 6: B}), SAME),
    "one cluster for two places, the last": (one({0: at(5), 9: at(5)}, {5: A}), BEHIND),
    "one cluster for two places, once late": (
        image({0: at(4), 1: at(6)}, {4: table({0: at(5)}), 5: A, 6: table({0: at(5)})}, **TWO_TABLES),
        SAME,
    ),
    "two tables that are one": (image({0: at(4), 1: at(4)}, {4: table({0: at(5)}), 5: A}, **TWO_TABLES), SAME),
    "a table that is data": (
        image({0: at(4), 1: at(6)}, {4: table({0: at(6)}), 5: A, 6: table({0: at(7)}), 7: B}, **TWO_TABLES),
        SAME,
    ),
    "a table that is data, late": (
        image({0: at(4), 1: at(5)}, {4: table({0: at(6)}), 5: table({0: at(4)}), 6: B}, **TWO_TABLES),
        SAME,
    ),
    **{
        f"data that is the {name}": (one({0: at(cluster), 1: at(5)}, {5: A}), SAME)
        for name, cluster in {"count table": COUNT_TABLE, "counts": COUNTS, "L1 table": L1}.items()
    },
    **{
        f"a table that is the {name}": (image({0: at(cluster)}, {5: A}), SAME)
        for name, cluster in {"count table": COUNT_TABLE, "counts": COUNTS, "L1 table": L1}.items()
    },
    "counts that are data": (one({0: at(5)}, {5: A, 6: B}, counts={0: at(5)}), SAME),
    "data that is the count table, which follows": (
        one({0: at(6)}, {5: A, 6: table({}), 7: B}, refcount_table_offset=6 * CLUSTER),
        SAME,
    ),
    "data behind the end": (one({0: at(5), 1: at(9)}, {5: A}), BEHIND),
    "data behind the end, late": (late({0: at(4), 1: at(9)}, {4: A}), BEHIND),
    "data at the greatest place": (one({0: 0x00FF_FFFF_FFFF_0000, 1: at(5)}, {5: A}), BEHIND),
    "data that ends behind the end": (
        one({0: at(5), 1: at(6), 2: at(7)}, {5: A, 6: B, 7: A})[: -CLUSTER - 9],
        BEHIND,
    ),
    "a table behind the end": (image({0: at(9)}, {5: A}), BEHIND),
    "a table behind its end by little": (image({0: at(6)}, {5: A}), BEHIND),
    "data between clusters": (one({0: at(5) + 512}, {5: A, 6: B}), NOWHERE),
    "data between clusters, late": (late({0: at(4) + 512}, {4: A, 5: B}), NOWHERE),
    "zero clusters that keep a place between clusters": (one({0: at(5) + 512 | ZERO, 1: at(5)}, {5: A}), NOWHERE),
    "data between clusters of 128 KiB": (
        image(
            {},
            {4: table({0: at(6)}), 6: table({0: at(9)}), 8: A, 9: B, 10: A},
            cluster_bits=17,
            refcount_table_offset=2 * CLUSTER,
            l1_table_offset=4 * CLUSTER,
        ),
        NOWHERE,
    ),
    "a table between clusters": (image({0: at(4) + 512}, {4: A, 5: B}), NOWHERE),
    "zero clusters in version 2": (one({0: ZERO}, {5: A}, version=2), "zero clusters"),
    "zero clusters in version 2, late": (late({0: ZERO, 1: at(4)}, {4: A}, version=2), "zero clusters"),
    "packed, behind the end": (one({0: packed(9 * CLUSTER, 100), 1: at(5)}, {5: A}), BEHIND),
    "packed, far behind the end": (one({0: PACKED | (1 << 54) - 1, 1: at(5)}, {5: A}), BEHIND),
    "packed, longer than the file": (one({0: packed(5 * CLUSTER, 2 * CLUSTER)}, {5: PRESSED}), BEHIND),
    "packed, unpacks to more, zstd": (holding(zstd.compress(text(7) + text(8)), **ZSTD), DAMAGED),
    "packed in a plain cluster": (
        one({0: at(5), 1: packed(5 * CLUSTER, len(PRESSED))}, {5: PRESSED.ljust(CLUSTER, b"\0"), 6: B}),
        SAME,
    ),
    "packed up into a plain cluster": (
        one({0: at(6), 1: packed(6 * CLUSTER - 9, len(PRESSED))}, {5: bytes(CLUSTER - 9) + PRESSED[:9], 6: B}),
        SAME,
    ),
    "packed in the header": (one({0: packed(0, 100), 1: at(5)}, {5: A}), SAME),
    "packed, garbage": (holding(noise(5, 900)), DAMAGED),
    "packed, zeroes": (holding(bytes(900) + b"x"), DAMAGED),
    "packed, nothing there": (one({0: packed(5 * CLUSTER + 600, 900), 1: at(6)}, {6: A}), DAMAGED),
    "packed, cut": (holding(deflated(A)[: 20 * KIB]), DAMAGED),
    "packed, inflates to less": (holding(deflated(text(7, CLUSTER - 1))), DAMAGED),
    "packed, inflates to nothing": (holding(deflated(b"")), DAMAGED),
    "packed, with a header of zlib": (holding(zlib.compress(text(7))), DAMAGED),
    "packed, the other way": (holding(PRESSED, **ZSTD), DAMAGED),
    "packed, the other way, deflated": (holding(ZSTD_PRESSED), DAMAGED),
    "packed, garbage, zstd": (holding(ZSTD_PRESSED[:30] + noise(5, 900), **ZSTD), DAMAGED),
    "packed, cut, zstd": (holding(zstd.compress(A)[: 20 * KIB], **ZSTD), DAMAGED),
    "packed, inflates to less, zstd": (holding(zstd.compress(text(7, CLUSTER - 1)), **ZSTD), DAMAGED),
    "packed, inflates to nothing, zstd": (holding(zstd.compress(b""), **ZSTD), DAMAGED),
    "packed, with a huge window": (holding(wide(text(7), 28), **ZSTD), DAMAGED),
}
