"""What a volume holds as an image that is made while it is sent: its length is known before its first byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from pvc.images import qcow2writer, sparse
from pvc.storage.base import Content
from pvc.units import MIB

FORMATS = ("raw", "qcow2")
_ZEROES = bytes(MIB)
_PLAIN = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Export:
    """length: bytes of all chunks."""

    length: int
    content_type: str
    chunks: AsyncIterator[bytes]


async def raw(content: Content) -> Export:
    size = await content.size()
    return Export(size, _PLAIN, _whole(content, await content.stretches(), size))


async def without_holes(content: Content) -> Export:
    """Raw, framed as in docs/design/016."""
    size, stretches = await content.size(), await content.stretches()
    length = sum(end - start for start, end in stretches) + len(sparse.header(0, 0)) * (len(stretches) + 1)
    return Export(length, sparse.CONTENT_TYPE, _framed(content, stretches, size))


async def qcow2(content: Content) -> Export:
    layout = qcow2writer.Layout(await content.size(), await content.stretches())
    return Export(layout.length, _PLAIN, _laid_out(content, layout))


async def _whole(content: Content, stretches: Sequence[tuple[int, int]], size: int) -> AsyncIterator[bytes]:
    at = 0
    for start, end in stretches:
        for zeroes in _zeroes(start - at):
            yield zeroes
        async for data in content.read(start, end):
            yield data
        at = end
    for zeroes in _zeroes(size - at):
        yield zeroes


def _zeroes(length: int) -> list[bytes]:
    whole, rest = divmod(length, len(_ZEROES))
    return [_ZEROES] * whole + [_ZEROES[:rest]] * bool(rest)


async def _framed(content: Content, stretches: Sequence[tuple[int, int]], size: int) -> AsyncIterator[bytes]:
    for start, end in stretches:
        yield sparse.header(start, end - start)
        async for data in content.read(start, end):
            yield data
    yield sparse.header(size, 0)


async def _laid_out(content: Content, layout: qcow2writer.Layout) -> AsyncIterator[bytes]:
    for cluster in layout.metadata():
        yield cluster
    for start, end in layout.data:
        async for data in content.read(start, min(end, layout.size)):
            yield data
        if end > layout.size:
            yield bytes(end - layout.size)
