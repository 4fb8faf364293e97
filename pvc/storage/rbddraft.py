"""New content for a volume in Ceph, taken from a stream: large pieces, several at once, zeroes left out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from pvc.storage.base import Buffer, Content
from pvc.storage.ceph import WRITE_BYTES, Writer, map_objects
from pvc.storage.draft import Target
from pvc.storage.rbdhidden import Hidden
from pvc.storage.rbdimages import Images
from pvc.storage.rbdreading import ImageReader
from pvc.storage.reading import Run, reading
from pvc.storage.sparse import BLOCK
from pvc.storage.threads import to_the_end
from pvc.units import MIB

_FIRST_ROOM = 64 * MIB
_ZEROES = bytes(WRITE_BYTES)


@dataclass(frozen=True, slots=True)
class Location:
    """How another program reaches the pool's images: options with their values, the files that they name, no secret."""

    pool: str
    options: Mapping[str, str]
    files: Sequence[str]

    def path(self, image: str) -> str:
        return ":".join([f"rbd:{self.pool}/{image}", *(f"{key}={_escaped(self.options[key])}" for key in self.options)])


class ObjectMap(StrEnum):
    """When a draft has one. Made at the end it costs less for each object that is written, and something for each that
    is not.
    """

    FROM_THE_START = "from the start"
    AT_THE_END = "at the end"
    NEVER = "never"


class RBDDraft:
    """A draft in a hidden image. The first failure of a write is raised by every later call."""

    def __init__(
        self,
        images: Images,
        target: Target,
        location: Location,
        run: Run,
        put: Callable[[Hidden], Awaitable[None]],
        object_map: ObjectMap,
    ) -> None:
        """put: makes the hidden image the target."""
        self._hidden, self._cluster = images.hidden(target.name), images.cluster
        self._target, self._location, self._run, self._put = target, location, run, put
        self._object_map = object_map
        self._parts: list[bytes] = []
        self._filled = 0  # bytes in the parts
        self._offset = 0  # where in the image the parts begin
        self._room = 0  # how long the image is: scratch space grows, because a huge image takes long to remove
        self._sending: asyncio.Future[None] | None = None
        self._writer: Writer | None = None

    @property
    def size(self) -> int:
        return self._target.limit

    @property
    def path(self) -> str:
        return self._location.path(self._hidden.name)

    @property
    def files(self) -> Sequence[str]:
        return self._location.files

    async def write(self, data: Buffer) -> None:
        rest = memoryview(data).cast("B")
        self._target.check(self._offset + self._filled + len(rest))
        while rest:
            part = rest[: self._left_of_piece]
            await self._add(data if isinstance(data, bytes) and len(part) == len(data) else bytes(part))
            rest = rest[len(part) :]

    async def skip(self, length: int) -> None:
        end = self._offset + self._filled + length
        self._target.check(end)
        if length < self._left_of_piece:
            await self._add(_ZEROES[:length])
            return
        await self.go_to(end)

    async def go_to(self, offset: int) -> None:
        self._target.check(offset)
        if self._filled and offset != self._offset + self._filled:
            await self._send()
        if not self._filled:
            self._offset = offset

    async def flush(self) -> None:
        await self._sent()
        await self._run(self._write_rest)

    def content(self) -> AbstractAsyncContextManager[Content]:
        return reading(lambda: ImageReader(self._hidden.image), self._run)

    async def commit(self) -> None:
        await self.flush()
        await self._put(self._hidden)

    async def open(self) -> None:
        await self._run(self._create)

    async def close(self) -> None:
        """Wait for the writes under way and drop the image, unless it was put in place."""
        await to_the_end(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._run(self._end)

    @property
    def _left_of_piece(self) -> int:
        return WRITE_BYTES - (self._offset + self._filled) % WRITE_BYTES

    async def _add(self, part: bytes) -> None:
        """part: not longer than what is left of the piece."""
        self._parts.append(part)
        self._filled += len(part)
        if self._left_of_piece == WRITE_BYTES:
            await self._send()

    async def _send(self) -> None:
        """Start on what there is of a piece; its parts are put together while the next ones come in."""
        await self._sent()
        self._sending = asyncio.ensure_future(self._run(partial(self._put_parts, self._parts, self._offset)))
        self._parts, self._filled, self._offset = [], 0, self._offset + self._filled

    async def _sent(self) -> None:
        """Raises, each time, what starting on a piece met."""
        if self._sending is not None:
            await to_the_end(self._sending)

    @property
    def _writing(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("the draft is not open")
        return self._writer

    def _create(self) -> None:
        self._room = _rounded(self._target.length or min(self._target.limit, _FIRST_ROOM))
        self._hidden.create(self._room, mapped=self._object_map is ObjectMap.FROM_THE_START)
        self._writer = self._cluster.writer(self._hidden.image)

    def _put_parts(self, parts: list[bytes], offset: int) -> None:
        """Blocks. The parts are used up: what is waiting for its turn is kept once."""
        end = offset + sum(map(len, parts))
        if end > self._room:
            self._room = _rounded(min(self._target.limit, max(end, 2 * self._room)))
            self._hidden.image.resize(self._room)
        if not all(map(_ZEROES.startswith, parts)):  # else they need not be put together either
            data = b"".join(parts)
            parts.clear()
            self._writing.put(data, offset)

    def _write_rest(self) -> None:
        """Blocks. The parts stay as they are, so that writing can go on."""
        self._put_parts([*self._parts], self._offset)
        self._writing.settle()
        self._writing.check()
        self._hidden.image.flush()
        if self._object_map is ObjectMap.AT_THE_END:
            map_objects(self._hidden.image)
            self._object_map = ObjectMap.FROM_THE_START

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.settle()
        self._hidden.drop()


def _rounded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _escaped(value: str) -> str:
    """As QEMU reads it."""
    return "".join(f"\\{character}" if character in "\\:=@" else character for character in value)
