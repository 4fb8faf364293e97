"""An image without its holes: which parts of a file are data, and how they are framed (docs/design/016)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

CONTENT_TYPE = "application/vnd.pvc.sparse"
GRAIN = 1 << 16  # shortest hole that is left out: a volume has none that are shorter
HEADER_BYTES = 16

Run = tuple[int, int]  # start and end, counted from where the image begins


def data_runs(source: BinaryIO, size: int) -> list[Run] | None:
    """The data among the next `size` bytes, in order; None when all is, or nobody knows."""
    fd, begin = source.fileno(), source.tell()
    stands = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        runs = list(_joined(fd, begin, size))
    except OSError:
        return None  # the file system does not tell
    finally:
        os.lseek(fd, stands, os.SEEK_SET)
    return None if runs == [(0, size)] else runs


def rest(runs: Sequence[Run], begin: int) -> list[Run]:
    """What of it lies from `begin` on."""
    return [(max(start, begin), end) for start, end in runs if end > begin]


def header(run: Run) -> bytes:
    """Of the run's frame. The last frame has none, and begins and ends where the image ends."""
    start, end = run
    return start.to_bytes(8, "big") + (end - start).to_bytes(8, "big")


def length(runs: Sequence[Run]) -> int:
    """Bytes of all frames."""
    return sum(end - start for start, end in runs) + HEADER_BYTES * (len(runs) + 1)


def unframed(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (place, data) of frames, at the end the image's size without data. pieces: as they come, cut anywhere."""
    held, at, left = b"", 0, 0
    for piece in pieces:
        held += piece
        while held:
            if left:
                data, held = held[:left], held[left:]
                yield at, data
                at, left = at + len(data), left - len(data)
            elif len(held) < HEADER_BYTES:
                break
            else:
                at, left = int.from_bytes(held[:8], "big"), int.from_bytes(held[8:HEADER_BYTES], "big")
                held = held[HEADER_BYTES:]
                if not left:
                    yield at, b""


def _joined(fd: int, begin: int, size: int) -> Iterator[Run]:
    """On boundaries of GRAIN, none next to another."""
    held: Run | None = None
    for start, end in _extents(fd, begin, size):
        start, end = start // GRAIN * GRAIN, min(-(-end // GRAIN) * GRAIN, size)
        if held and start <= held[1]:
            start = held[0]
        elif held:
            yield held
        held = start, end
    if held:
        yield held


def _extents(fd: int, begin: int, size: int) -> Iterator[Run]:
    """As the file system has them, relative to `begin`."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, begin + end, os.SEEK_DATA) - begin
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(fd, begin + start, os.SEEK_HOLE) - begin
        if start < size:
            yield start, min(end, size)
