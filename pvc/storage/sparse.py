"""Sparse files: zeroes are neither written nor copied."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator

from pvc.storage.threads import Copying
from pvc.units import KIB, MIB

BLOCK = 4096  # alignment that O_DIRECT asks for
BUFFER_BYTES = 4 * MIB  # smaller direct writes cost a third of the speed
GRAIN = 64 * KIB  # shortest run of zeroes that becomes a hole
_COPY_STEP = 64 * MIB  # how much is copied between two reports
_FICLONE = 0x40049409  # linux/fs.h
_NO_REFLINK = {errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV, errno.ENOTTY, errno.ENOSYS}

_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_zeroes = ctypes.create_string_buffer(GRAIN)


class Buffer:
    """Memory on page boundaries, as O_DIRECT wants it."""

    def __init__(self) -> None:
        memory = mmap.mmap(-1, BUFFER_BYTES)
        self.view = memoryview(memory)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(memory))

    def is_zero(self, offset: int, length: int) -> bool:
        return bool(_libc.memcmp(self._address + offset, _zeroes, length) == 0)


def data_runs(length: int, is_zero: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the stretches of the first `length` bytes that are not all zeroes.

    is_zero: whether that many bytes from that offset are; at most GRAIN of them.
    """
    start = None
    for offset in range(0, length, GRAIN):
        if is_zero(offset, min(GRAIN, length - offset)):
            if start is not None:
                yield start, offset
            start = None
        elif start is None:
            start = offset
    if start is not None:
        yield start, length


def write_data(fd: int, buffer: Buffer, length: int, offset: int) -> None:
    """Write the first `length` bytes of `buffer` at `offset`, except for zeroes: they must read as zero already."""
    for start, end in data_runs(length, buffer.is_zero):
        _write_all(fd, buffer.view[start:end], offset + start)


def set_direct(fd: int, wanted: bool) -> bool:
    """Switch O_DIRECT on or off; False where the file system has none."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    flags = flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        return False
    return True


def copy_file(source: int, target: int, copying: Copying) -> None:
    """Make the empty file `target` equal to `source`, sharing its blocks where the file system can. Raises Stopped."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    if _reflink(source, target):
        return
    found = list(extents(source, size))
    done, total = 0, sum(end - start for start, end in found)
    for start, end in found:
        for at in range(start, end, _COPY_STEP):
            copying.goes_on(done, total)
            step = min(_COPY_STEP, end - at)
            _copy_range(source, target, at, at + step)
            done += step
    copying.heard(done, total)


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        try:
            written = os.pwrite(fd, data, offset)
        except OSError as exc:
            if exc.errno != errno.EINVAL or not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
                raise
            set_direct(fd, False)  # the file system promised O_DIRECT, but has stricter rules
            continue
        data, offset = data[written:], offset + written


def _reflink(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as exc:
        if exc.errno not in _NO_REFLINK:
            raise
        return False
    return True


def extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of what the file system keeps of the first `size` bytes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        copied = os.copy_file_range(source, target, end - start, start, start)
        if copied == 0:
            raise OSError(errno.EIO, "the file was cut short while it was copied")
        start += copied
