"""Sending a large request body, with an eye on the server: one that answers early is heard at once."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from typing import BinaryIO

from pvc.cli.failure import Failure

PIECE = 4 << 20


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


def send(sock: socket.socket, source: BinaryIO, size: int | None, sent: Callable[[int], None]) -> bool:
    """Send `size` bytes of `source`, or chunks up to its end when None; False when the server answered before that.

    sent: told how many bytes are gone so far. The socket blocks again when this returns.
    """
    try:
        if size is None:
            _send_chunks(sock, source, sent)
        elif type(sock) is socket.socket:
            _send_file(sock, source, size, sent)
        else:
            _send_pieces(sock, source, size, sent)
    except (_AnsweredEarlyError, BrokenPipeError, ConnectionResetError):
        return False
    finally:
        sock.setblocking(True)
    return True


def answered(sock: socket.socket, timeout_s: float) -> bool:
    return bool(select.select([sock], [], [], timeout_s)[0])


def _send_file(sock: socket.socket, source: BinaryIO, size: int, sent: Callable[[int], None]) -> None:
    """The kernel copies from the file to the socket."""
    start, done = source.tell(), 0
    sock.setblocking(False)
    while done < size:
        _wait_until_writable(sock)
        count = os.sendfile(sock.fileno(), source.fileno(), start + done, min(PIECE, size - done))
        done += _not_short(count)
        sent(done)


def _send_pieces(sock: socket.socket, source: BinaryIO, size: int, sent: Callable[[int], None]) -> None:
    done = 0
    while done < size:
        piece = source.read(min(PIECE, size - done))
        done += _not_short(len(piece))
        _send_all(sock, piece)
        sent(done)


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


def _not_short(count: int) -> int:
    if count == 0:
        raise Failure("usage", "The file became shorter while it was sent.")
    return count
