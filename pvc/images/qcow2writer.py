"""A qcow2 image in order: where the data is decides every table, so that all of them come before it. Pure.

Source: https://www.qemu.org/docs/master/interop/qcow2.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby

from pvc.units import KIB

CLUSTER = 64 * KIB
_BITS = 16
_ENTRIES = CLUSTER // 8  # of a table of places
_COUNTS = CLUSTER // 2  # reference counts in a cluster, 16 bits each
_USED_ONCE = 1 << 63

_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII8x")


class Layout:
    """size: what a guest sees. data: (start, end) of what is kept, on boundaries of clusters, in order."""

    def __init__(self, size: int, stretches: Sequence[tuple[int, int]]) -> None:
        """stretches: as Content has them."""
        self.size = size
        self.data = list(_on_clusters(stretches))
        kept = sum(end - start for start, end in self.data) // CLUSTER
        self._l1_entries = _up(size, CLUSTER * _ENTRIES)
        self._l1 = max(1, _up(self._l1_entries, _ENTRIES))
        self._l2 = [table for table, _ in groupby(self._clusters(), lambda cluster: cluster // _ENTRIES)]
        self._counts, self._count_table = _reference_counts(1 + self._l1 + len(self._l2) + kept)
        self._before_l2 = 1 + self._count_table + self._counts + self._l1
        self._total = self._before_l2 + len(self._l2) + kept

    @property
    def length(self) -> int:
        return self._total * CLUSTER

    def metadata(self) -> Iterator[bytes]:
        """Everything before the data, in clusters."""
        yield self._header().ljust(CLUSTER, b"\0")
        first = 1 + self._count_table
        yield from _places(range(first, first + self._counts), self._count_table)
        for number in range(self._counts):
            used = min(_COUNTS, self._total - number * _COUNTS)
            yield (b"\0\1" * used).ljust(CLUSTER, b"\0")
        yield from self._l1_table()
        yield from self._l2_tables()

    def _header(self) -> bytes:
        l1_at = (1 + self._count_table + self._counts) * CLUSTER
        version_2 = (
            b"QFI\xfb",
            3,
            0,
            0,
            _BITS,
            self.size,
            0,
            self._l1_entries,
            l1_at,
            CLUSTER,
            self._count_table,
            0,
            0,
        )
        return _HEADER.pack(*version_2, 0, 0, 0, 4, 112)

    def _l1_table(self) -> Iterator[bytes]:
        entries = [0] * (self._l1 * _ENTRIES)
        for number, table in enumerate(self._l2):
            entries[table] = (self._before_l2 + number) * CLUSTER | _USED_ONCE
        for start in range(0, len(entries), _ENTRIES):
            yield struct.pack(f">{_ENTRIES}Q", *entries[start : start + _ENTRIES])

    def _l2_tables(self) -> Iterator[bytes]:
        place = self._before_l2 + len(self._l2)
        for _, clusters in groupby(self._clusters(), lambda cluster: cluster // _ENTRIES):
            entries = [0] * _ENTRIES
            for cluster in clusters:
                entries[cluster % _ENTRIES] = place * CLUSTER | _USED_ONCE
                place += 1
            yield struct.pack(f">{_ENTRIES}Q", *entries)

    def _clusters(self) -> Iterator[int]:
        for start, end in self.data:
            yield from range(start // CLUSTER, end // CLUSTER)


def _up(size: int, unit: int) -> int:
    return -(-size // unit)


def _on_clusters(stretches: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    held: tuple[int, int] | None = None
    for start, end in stretches:
        start, end = start // CLUSTER * CLUSTER, _up(end, CLUSTER) * CLUSTER
        if held and start <= held[1]:
            start = held[0]
        elif held:
            yield held
        held = start, end
    if held:
        yield held


def _reference_counts(others: int) -> tuple[int, int]:
    """Return how many clusters of counts there are, and of the table of them; they count themselves too."""
    counts = table = 1
    while (needed := _up(others + counts + table, _COUNTS)) > counts or _up(counts, _ENTRIES) > table:
        counts, table = needed, _up(needed, _ENTRIES)
    return counts, table


def _places(clusters: range, tables: int) -> Iterator[bytes]:
    entries = [cluster * CLUSTER for cluster in clusters]
    entries += [0] * (tables * _ENTRIES - len(entries))
    for start in range(0, len(entries), _ENTRIES):
        yield struct.pack(f">{_ENTRIES}Q", *entries[start : start + _ENTRIES])
