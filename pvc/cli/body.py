"""Sending a large request body, with an eye on the server: one that answers early is heard at once."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable, Sequence
from typing import BinaryIO

from pvc.cli import sparse
from pvc.cli.failure import Failure

PIECE = 4 << 20
_ON_ITS_WAY = (
    4 << 20
)  # bytes that the kernel may hold of a local upload: with its 208 KiB both ends wake 16 times as often


class _AnsweredEarlyError(Exception):
    """The server spoke, or hung up, before it had the whole body."""


def open_image(name: str) -> tuple[BinaryIO, int | None]:
    """Open a file, or stdin for "-", and say how many bytes it will give; None when only its end will tell."""
    import sys

    try:
        source: BinaryIO = sys.stdin.buffer if name == "-" else open(name, "rb")  # noqa: SIM115
        status = os.fstat(source.fileno())
    except OSError as exc:
        raise Failure("usage", f'The file "{name}" cannot be read: {exc.strerror}') from exc
    if stat.S_ISREG(status.st_mode):
        return source, max(status.st_size - source.tell(), 0)
    if stat.S_ISBLK(status.st_mode):
        return source, os.lseek(source.fileno(), 0, os.SEEK_END) - os.lseek(source.fileno(), 0, os.SEEK_SET)
    return source, None


def send(
    sock: socket.socket,
    source: BinaryIO,
    size: int | None,
    sent: Callable[[int], None],
    runs: Sequence[sparse.Run] | None = None,
    begin: int = 0,
) -> bool:
    """Send `size` bytes of `source`, or chunks up to its end when None; False when the server answered before that.

    sent: told how many bytes are gone so far, holes included. runs: what is sent of it, in frames; all and as it is
    when None. begin: what is before it is left out. The socket blocks again when this returns.
    """
    if sock.family == socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ON_ITS_WAY)
    try:
        if size is None:
            _send_chunks(sock, source, sent)
        elif runs is None:
            _send_run(sock, source, (begin, size), sent)
        else:
            _send_frames(sock, source, size, runs, sent)
    except (_AnsweredEarlyError, BrokenPipeError, ConnectionResetError):
        return False
    finally:
        sock.setblocking(True)
    return True


def answered(sock: socket.socket, timeout_s: float) -> bool:
    return bool(select.select([sock], [], [], timeout_s)[0])


def _send_frames(
    sock: socket.socket, source: BinaryIO, size: int, runs: Sequence[sparse.Run], sent: Callable[[int], None]
) -> None:
    for run in runs:
        _send_all(sock, sparse.header(run))
        _send_run(sock, source, run, sent)
    _send_all(sock, sparse.header((size, size)))
    sent(size)


def _send_run(sock: socket.socket, source: BinaryIO, run: sparse.Run, sent: Callable[[int], None]) -> None:
    (done, end), start = run, source.tell()
    pass_on = _send_file if type(sock) is socket.socket else _send_piece
    while done < end:
        count = pass_on(sock, source.fileno(), start + done, min(PIECE, end - done))
        if count == 0:
            raise Failure("usage", "The file became shorter while it was sent.")
        done += count
        sent(done)


def _send_file(sock: socket.socket, source: int, offset: int, length: int) -> int:
    """The kernel copies from the file to the socket."""
    sock.setblocking(False)
    _wait_until_writable(sock)
    return os.sendfile(sock.fileno(), source, offset, length)


def _send_piece(sock: socket.socket, source: int, offset: int, length: int) -> int:
    piece = os.pread(source, length, offset)
    _send_all(sock, piece)
    return len(piece)


def _send_chunks(sock: socket.socket, source: BinaryIO, sent: Callable[[int], None]) -> None:
    done = 0
    read = getattr(source, "read1", source.read)
    while piece := read(PIECE):
        _send_all(sock, b"%x\r\n%b\r\n" % (len(piece), piece))
        done += len(piece)
        sent(done)
    _send_all(sock, b"0\r\n\r\n")


def _send_all(sock: socket.socket, data: bytes) -> None:
    if type(sock) is not socket.socket:
        return sock.sendall(data)  # TLS: bytes to read need not be an answer
    sock.setblocking(False)
    rest = memoryview(data)
    while rest:
        _wait_until_writable(sock)
        rest = rest[sock.send(rest) :]
    return None


def _wait_until_writable(sock: socket.socket) -> None:
    readable, _, _ = select.select([sock], [sock], [])
    if readable:
        raise _AnsweredEarlyError
