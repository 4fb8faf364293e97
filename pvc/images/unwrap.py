"""gzip, xz, zstd and bzip2: known by their first bytes, unpacked as they come, in bounded memory, in threads."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from backports import zstd

from pvc.errors import InvalidImage
from pvc.storage.threads import in_thread
from pvc.units import KIB, MIB

HEAD_BYTES = 6  # what `packing` needs to see

_PIECE_BYTES = MIB  # unpacked at a time
_FED_BYTES = 256 * KIB  # packed, at a time: enough to make a thread's turn worth it
_MEMORY_BYTES = 72 * MIB  # what unpacking may take: enough for "xz -9"
_WINDOW_LOG = 26  # of zstd: 64 MiB
_FEW_MEMBERS = 1024
_FAILURES = (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, ValueError, EOFError)


def packing(head: bytes) -> str | None:
    """Name what the bytes are packed with, None when they are not."""
    for magic, name in ((b"\x1f\x8b\x08", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")):
        if head.startswith(magic):
            return name
    if head.startswith(b"BZh") and head[3:4] in b"123456789":
        return "bzip2"
    if head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:  # a frame to be skipped, as pzstd begins with
        return "zstd"
    return None


async def unwrapped(chunks: AsyncIterator[bytes], kind: str, limit: int) -> AsyncIterator[bytes]:
    """Yield what is packed in `chunks`. Several members one after the other are one content.

    kind: as `packing` says. limit: bytes unpacked, more are refused. Raises InvalidImage.
    """
    unpacker = _Unpacker(kind, limit)
    async for packed in _gathered(chunks):
        unpacker.feed(packed)
        while not unpacker.hungry:
            if data := await in_thread(unpacker.unpack):
                yield data
    unpacker.check_end()


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting: list[bytes] = []
    length = 0
    async for chunk in chunks:
        waiting.append(chunk)
        length += len(chunk)
        if length >= _FED_BYTES:
            yield b"".join(waiting)
            waiting, length = [], 0
    yield b"".join(waiting)


class _Member(Protocol):
    """What bz2, lzma and zstd have in common."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class _Gzip:
    """zlib in the manner of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        unpacked = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = len(unpacked) < max_length and not self._zlib.unconsumed_tail
        return unpacked

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


def _xz() -> _Member:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)


def _zstd() -> _Member:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


_MEMBERS: dict[str, Callable[[], _Member]] = {"gzip": _Gzip, "xz": _xz, "zstd": _zstd, "bzip2": bz2.BZ2Decompressor}


class _Unpacker:
    def __init__(self, kind: str, limit: int) -> None:
        self._kind, self._limit = kind, limit
        self._member: _Member | None = None
        self._fed = b""  # and not yet given to a member
        self._members = 0
        self._unpacked = 0

    def feed(self, data: bytes) -> None:
        self._fed += data

    @property
    def hungry(self) -> bool:
        """Whether nothing more comes out before more is fed."""
        return not self._fed and (self._member is None or self._member.needs_input)

    def unpack(self) -> bytes:
        """At most _PIECE_BYTES, or none. Blocks."""
        try:
            data = self._step()
        except _FAILURES as exc:
            raise InvalidImage(problem=self._failure(exc)) from exc
        self._unpacked += len(data)
        if self._unpacked > self._limit:
            raise InvalidImage(problem=f"it unpacks to more than the {self._limit} bytes that can be needed")
        return data

    def check_end(self) -> None:
        if self._member is not None or not self._members:
            raise InvalidImage(problem=f"it ends within its {self._kind} data")

    def _step(self) -> bytes:
        if self._member is None:
            self._fed = self._fed.lstrip(b"\0")  # padding between members, and after the last
            if not self._fed:
                return b""
        member = self._member = self._member or self._begin()
        data = member.decompress(self._fed, _PIECE_BYTES)
        self._fed = b""
        if member.eof:
            self._fed, self._member = member.unused_data, None
        return data

    def _begin(self) -> _Member:
        """The bytes that follow a member are copied: many small ones would take time without end."""
        self._members += 1
        if self._members > _FEW_MEMBERS + self._unpacked // KIB:
            raise InvalidImage(problem=f"its {self._kind} data is in {self._members} pieces, which are too small")
        return _MEMBERS[self._kind]()

    def _failure(self, exc: Exception) -> str:
        if "memory" in str(exc).lower():
            return f"its {self._kind} data takes more than {_MEMORY_BYTES} bytes of memory to unpack"
        return f"its {self._kind} data is damaged, or something else follows it"
