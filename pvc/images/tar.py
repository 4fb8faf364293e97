"""A tar archive as it streams in: plain files, one after the other, and nothing else.

ustar, as POSIX and GNU write it, with pax headers and GNU's long names where they tell a name or a size.
Source: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from pvc.errors import InvalidImage
from pvc.images.body import Body
from pvc.units import KIB, MIB

_BLOCK = 512
_NOTHING = bytes(_BLOCK)
_MOST_MEMBERS = 128
_EXTENSION_BYTES = 32 * KIB  # a pax header or a long name
_PADDING_BYTES = MIB  # zeroes behind the end: the last record of a tape
_PIECE = 256 * KIB
_LARGEST = 1 << 60

_FILE, _PAX, _LONG_NAME = (b"0", b"\0"), b"x", b"L"
_OTHERS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a FIFO",
    b"7": "a contiguous file",
    b"S": "a sparse file",
    b"K": "a long link name",
    b"g": "a pax header for all of the archive",
}
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_RECORD_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")
_DECIMAL = re.compile(r"[0-9]{1,18}")
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Member:
    """name: of a file in no folder. size: bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    size: int
    kind: bytes


class Archive:
    """Its members in order. Raises InvalidImage for all that is not a plain file in an archive that is whole."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._body = Body(chunks, "the archive ends before its end marker")
        self._seen: set[str] = set()
        self._left = self._padding = 0  # bytes of the present member

    async def next(self) -> Member | None:
        """The next member, None after the last; what was not read of the one before is passed over."""
        await self._body.pass_over(self._left)
        await self._skip_padding()
        extensions: dict[str, bytes] = {}
        while (header := await self._header()) is not None:
            if header.kind not in (_PAX, _LONG_NAME):
                return self._begin(_member(header, extensions))
            what = header.kind.decode()
            if what in extensions or header.size > _EXTENSION_BYTES:
                raise InvalidImage(problem="the archive has an extended header that is too long or stands there twice")
            self._left, self._padding = 0, -header.size % _BLOCK
            extensions[what] = await self._body.exactly(header.size)
            await self._skip_padding()
        if extensions:
            raise InvalidImage(problem="the archive ends with the header of a file that is not there")
        await self._check_end()
        return None

    async def content(self) -> AsyncIterator[bytes]:
        """What is left of the present member."""
        while self._left:
            data = await self._body.up_to(min(self._left, _PIECE))
            self._left -= len(data)
            yield data

    def _begin(self, member: Member) -> Member:
        if member.name in self._seen:
            raise InvalidImage(problem=f'the archive has "{member.name}" twice')
        if len(self._seen) == _MOST_MEMBERS:
            raise InvalidImage(problem=f"the archive has more than {_MOST_MEMBERS} files")
        self._seen.add(member.name)
        self._left, self._padding = member.size, -member.size % _BLOCK
        return member

    async def _skip_padding(self) -> None:
        await self._body.pass_over(self._padding)
        self._left = self._padding = 0

    async def _header(self) -> _Header | None:
        """None for the two blocks of zeroes that end the archive."""
        block = await self._body.exactly(_BLOCK)
        if block != _NOTHING:
            return _parsed(block)
        if await self._body.exactly(_BLOCK) != _NOTHING:
            raise InvalidImage(problem="the archive has a block of zeroes where a file should begin")
        return None

    async def _check_end(self) -> None:
        """What follows the end marker would be there for another reader than this one."""
        length = 0
        while not await self._body.ended():
            data = await self._body.up_to(_PIECE)
            length += len(data)
            if data.count(0) != len(data) or length > _PADDING_BYTES:
                raise InvalidImage(problem="the archive goes on after its end marker")


def problem_with_name(name: str) -> str:
    """Why `name` cannot be that of a file beside the others; "" when it can."""
    if name.startswith("/"):
        return "is absolute"
    if ".." in name.split("/"):
        return 'leads out of the archive with ".."'
    if "/" in name or "\\" in name:
        return "lies in a folder"
    if not name or name == "." or len(name) > 255 or not name.isprintable():
        return "cannot be a file name"
    return ""


def shown(name: str) -> str:
    """A name that somebody else chose, as part of a sentence."""
    return "".join(character if character.isprintable() else "?" for character in name)[:_SHOWN_CHARACTERS]


def _parsed(block: bytes) -> _Header:
    if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise InvalidImage(problem="the archive is damaged: the checksum of a header is wrong")
    if block[257:262] != b"ustar":
        raise InvalidImage(problem="the archive has a header that is not ustar's")
    name = block[:100].partition(b"\0")[0]
    if block[262:263] == b"\0" and block[345]:  # in GNU's own headers other things stand there
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return _Header(name, _number(block[124:136]), block[156:157])


def _number(field: bytes) -> int:
    """Octal, or as GNU writes what is too large for that."""
    if field[0] == 0x80:
        return _checked(int.from_bytes(field[1:]))
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise InvalidImage(problem="the archive is damaged: a header has a number that is none")
    return _checked(int(match[1] or b"0", 8))


def _checked(size: int) -> int:
    if size > _LARGEST:
        raise InvalidImage(problem=f"the archive has a file of {size} bytes, which cannot be")
    return size


def _member(header: _Header, extensions: Mapping[str, bytes]) -> Member:
    pax = _pax(extensions.get(_PAX.decode(), b""))
    long_name = extensions.get(_LONG_NAME.decode(), header.name).partition(b"\0")[0]
    name = pax.get("path") or _text(long_name)
    if header.kind not in _FILE:
        what = _OTHERS.get(header.kind, "a thing of an unknown kind")
        raise InvalidImage(problem=f'the archive has {what}, "{shown(name)}"; only plain files are accepted')
    if any(key.startswith("GNU.sparse.") or key == "SCHILY.realsize" for key in pax):
        raise InvalidImage(problem=f'the archive has a sparse file, "{shown(name)}"; only plain files are accepted')
    name = name.removeprefix("./")
    if problem := problem_with_name(name):
        raise InvalidImage(problem=f'the archive has a file whose name {problem}: "{shown(name)}"')
    return Member(name, _size(pax["size"]) if "size" in pax else header.size)


def _size(text: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise InvalidImage(problem="the archive has a pax header with a size that is none")
    return _checked(int(text))


def _pax(data: bytes) -> dict[str, str]:
    """Its records: each is "LENGTH KEY=VALUE" and a line's end, LENGTH counting all of it."""
    found: dict[str, str] = {}
    while data:
        length = _RECORD_LENGTH.match(data)
        record = data[: int(length[1])] if length else b""
        key, equals, value = record[length.end() if length else 0 :].partition(b"=")
        if not length or len(record) != int(length[1]) or not equals or not value.endswith(b"\n"):
            raise InvalidImage(problem="the archive has a damaged pax header")
        found[_text(key)] = _text(value[:-1])
        data = data[len(record) :]
    return found


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise InvalidImage(problem="the archive has a name that is not UTF-8") from exc
