"""Where a raw image is cut on its way: where the pools cut it too."""

from __future__ import annotations

from pvc.images.sparse import PIECE_BYTES, Hole, header, unframed, whole
from pvc.storage.ceph import OBJECT_BYTES, WRITE_BYTES
from pvc.storage.sparse import BUFFER_BYTES
from tests.parts.sparse import framed

BLOCK = 4096


class Ready:
    """A body that is there already, so that each asking gets all that it asks for."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    async def up_to(self, length: int) -> bytes:
        data = self._data[self._at : self._at + length]
        self._at += len(data)
        return data

    exactly = up_to

    async def ended(self) -> bool:
        return self._at == len(self._data)


def test_pieces_are_those_of_the_pools() -> None:
    assert PIECE_BYTES == WRITE_BYTES
    assert OBJECT_BYTES % PIECE_BYTES == BUFFER_BYTES % PIECE_BYTES == 0


async def test_a_whole_image_is_cut_at_the_pieces() -> None:
    sizes = [len(data) async for data in whole(Ready(bytes(2 * PIECE_BYTES + 5)))]
    assert sizes == [PIECE_BYTES, PIECE_BYTES, 5]


async def test_a_frame_is_cut_at_the_pieces_of_the_image() -> None:
    body = framed(3 * PIECE_BYTES, [(BLOCK, b"a" * (2 * PIECE_BYTES))])
    found = [(type(data), len(data)) async for data in unframed(Ready(body), 3 * PIECE_BYTES)]
    assert found == [
        (Hole, BLOCK),
        (bytes, PIECE_BYTES - BLOCK),
        (bytes, PIECE_BYTES),
        (bytes, BLOCK),
        (Hole, PIECE_BYTES - BLOCK),
    ]


async def test_an_image_that_is_all_hole_is_one() -> None:
    [hole] = [data async for data in unframed(Ready(header(8 * BLOCK, 0)), 8 * BLOCK)]
    assert (type(hole), len(hole)) == (Hole, 8 * BLOCK)
