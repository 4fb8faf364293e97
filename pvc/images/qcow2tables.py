"""What a qcow2 image's tables say of its bytes, learned while these pass by. Pure.

A table mostly stands before what it tells of, so that what comes next is known. What is not (where a table is behind
its data; packed clusters, which share their sectors) is told of once more when all has passed.

Source: https://www.qemu.org/docs/master/interop/qcow2.html
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from pvc.errors import InvalidImage
from pvc.images.qcow2header import Header

SECTOR = 512
_PLACE = 0x00FF_FFFF_FFFF_FE00
_PACKED, _ZERO = 1 << 62, 1
_AHEAD_LIMIT = 50_000  # regions that are kept in memory; tables beyond that are read when all has passed


class Kind(IntEnum):
    HEADER = 0
    REFERENCE_COUNTS = 1
    COUNT_TABLE = 2
    L1 = 3
    L2 = 4
    DATA = 5


class Region(NamedTuple):
    """start, end: in the file. place: of data, where in the disk it belongs; of an L2 table, its number."""

    start: int
    end: int
    kind: Kind
    place: int


class Stored(NamedTuple):
    """A cluster, or more than one in a row, as it is kept. start, end: in the file; place, length: in the disk."""

    start: int
    end: int
    place: int
    length: int
    packed: bool


@dataclass(frozen=True, slots=True)
class Late:
    """An L2 table that is needed once more when all has passed. whole: nothing of it was known before."""

    number: int
    start: int
    whole: bool


class Tables:
    """late: in the order of the disk, once all has passed."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._ahead: list[Region] = []
        self._late: list[Late] = []
        self._taken = bytearray()  # a bit for each cluster of the file that was not set aside
        self._expect(0, header.cluster, Kind.HEADER)
        counts = header.refcount_clusters * header.cluster
        self._expect(header.refcount_offset, header.refcount_offset + counts, Kind.COUNT_TABLE)
        self._expect(header.l1_offset, header.l1_offset + header.l1_needed * 8, Kind.L1)

    @property
    def next(self) -> Region | None:
        """What comes next of what is known."""
        return self._ahead[0] if self._ahead else None

    @property
    def late(self) -> list[Late]:
        return sorted(self._late, key=lambda table: table.number)

    def begin(self, at: int) -> Region:
        """The next region, which begins now. at: how much has passed. Raises InvalidImage where two overlap."""
        region = heapq.heappop(self._ahead)
        if region.start < at:
            raise _overlap(region.start)
        return region

    def learn(self, region: Region, data: bytes) -> bool:
        """What a table tells; whether it is to be set aside. Raises InvalidImage."""
        match region.kind:
            case Kind.COUNT_TABLE:
                self._learn_counts(region, _entries(data))
            case Kind.L1:
                self._learn_l1(region, _entries(data))
            case Kind.L2:
                return self._learn_l2(region, _entries(data))
        return False

    def took(self, start: int, end: int) -> None:
        """These bytes of the file were not set aside."""
        cluster = self._header.cluster
        first, last = start // cluster, -(-end // cluster)
        self._taken.extend(bytes(max(0, last // 8 + 1 - len(self._taken))))
        for number in range(first, last):
            self._taken[number // 8] |= 1 << number % 8

    def check_end(self, length: int) -> None:
        """Raises InvalidImage where what is needed would be behind the end. length: of the file."""
        for region in self._ahead:
            if region.kind in (Kind.L1, Kind.L2, Kind.DATA):
                raise behind_the_end(region.start)
        for table in self._late:
            self._check_aside(table.start, table.start + self._header.cluster, length)

    def stored(self, table: Late, data: bytes, length: int) -> list[Stored]:
        """What of a table's clusters was set aside, in the order of the file. Raises InvalidImage."""
        found = []
        for place, entry in self._clusters(table.number, _entries(data)):
            one = self._packed(place, entry) if entry & _PACKED else self._plain(place, entry)
            if one.packed or table.whole or one.start <= table.start:
                self._check_aside(one.start, one.end, length)
                found.append(one)
        return sorted(found)

    def _expect(self, start: int, end: int, kind: Kind, place: int = 0) -> None:
        heapq.heappush(self._ahead, Region(start, end, kind, place))

    def _learn_counts(self, region: Region, entries: array[int]) -> None:
        """Where reference counts are: nobody needs them, so they are not set aside."""
        for entry in entries:
            start = entry & _PLACE
            if start >= region.end and len(self._ahead) < _AHEAD_LIMIT:
                self._expect(start, start + self._header.cluster, Kind.REFERENCE_COUNTS)

    def _learn_l1(self, region: Region, entries: array[int]) -> None:
        for number, entry in enumerate(entries):
            start = entry & _PLACE
            if not start:
                continue
            self._check_cluster(start)
            if start < region.end or len(self._ahead) >= _AHEAD_LIMIT:
                self._late.append(Late(number, start, whole=True))
            else:
                self._expect(start, start + self._header.cluster, Kind.L2, number)

    def _learn_l2(self, region: Region, entries: array[int]) -> bool:
        runs: list[Region] = []
        aside = False
        for place, entry in self._clusters(region.place, entries):
            start = entry & _PLACE
            if entry & _PACKED or start < region.end:
                aside = True
                continue
            one = self._plain(place, entry)
            last = runs[-1] if runs else None
            if last is not None and (last.end, last.place + last.end - last.start) == (one.start, place):
                runs[-1] = last._replace(end=one.end)
            else:
                runs.append(Region(one.start, one.end, Kind.DATA, place))
        whole = len(self._ahead) + len(runs) > _AHEAD_LIMIT
        if aside or whole:
            self._late.append(Late(region.place, region.start, whole))
        if not whole:
            for run in runs:
                heapq.heappush(self._ahead, run)
        return aside or whole

    def _clusters(self, table: int, entries: array[int]) -> Iterator[tuple[int, int]]:
        """(place in the disk, entry) of those that hold more than zeroes."""
        cluster, place = self._header.cluster, table * self._header.covered
        for number, entry in enumerate(entries):
            if not entry or place + number * cluster >= self._header.size:
                continue
            if not entry & _PACKED and entry & _ZERO:
                self._check_zero()
                self._check_cluster(entry & _PLACE)
            elif entry & (_PACKED | _PLACE):
                yield place + number * cluster, entry

    def _plain(self, place: int, entry: int) -> Stored:
        start = entry & _PLACE
        self._check_cluster(start)
        return Stored(start, start + self._header.cluster, place, self._length(place), packed=False)

    def _packed(self, place: int, entry: int) -> Stored:
        """Begins at any byte, and ends with a sector."""
        bits = 70 - self._header.cluster_bits
        start = entry & ((1 << bits) - 1)
        sectors = (entry >> bits & (1 << self._header.cluster_bits - 8) - 1) + 1
        end = start - start % SECTOR + sectors * SECTOR
        return Stored(start, end, place, self._length(place), packed=True)

    def _length(self, place: int) -> int:
        """How much of the cluster there lies within the disk."""
        return min(self._header.cluster, self._header.size - place)

    def _check_cluster(self, start: int) -> None:
        if start % self._header.cluster:
            raise InvalidImage(problem=f"its tables name byte {start}, where no cluster begins")

    def _check_zero(self) -> None:
        if self._header.version < 3:
            raise InvalidImage(problem="its tables have zero clusters, which its version of qcow2 does not know")

    def _check_aside(self, start: int, end: int, length: int) -> None:
        cluster = self._header.cluster
        if start >= length or end - length >= cluster:
            raise behind_the_end(start)
        for number in range(start // cluster, -(-end // cluster)):
            if number // 8 < len(self._taken) and self._taken[number // 8] >> number % 8 & 1:
                raise _overlap(start)


def behind_the_end(start: int) -> InvalidImage:
    return InvalidImage(problem=f"it ends before byte {start}, where its tables say that something is")


def _overlap(start: int) -> InvalidImage:
    return InvalidImage(problem=f"two of its parts are at the same place, at byte {start}; repair it first")


def _entries(data: bytes) -> array[int]:
    entries = array("Q", data.ljust(-(-len(data) // 8) * 8, b"\0"))
    entries.byteswap()
    return entries
