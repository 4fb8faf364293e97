"""Who has an image open. QEMU holds read locks on bytes from 100 and from 200 of every image it has open, for as long
as it has it open, and refuses one where it meets a foreign lock there; they belong to the open file (OFD locks).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid; length 0: to the end


def is_locked(fd: int) -> bool:
    """Whether anybody holds a lock on any byte of the file, through another open than `fd`."""
    kind, *_ = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole(fcntl.F_WRLCK)))
    return bool(kind != fcntl.F_UNLCK)


def try_lock(fd: int) -> bool:
    """Lock the whole file until `fd`, open for writing, is closed; False when somebody else holds a lock on it.

    While it is held no QEMU can open the image.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole(fcntl.F_WRLCK))
    except OSError as exc:
        if exc.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _whole(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
