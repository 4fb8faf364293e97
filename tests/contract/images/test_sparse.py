"""Raw images that come without their holes: the volume is what it would be with them, or what it was."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvc.config import Upload
from pvc.errors import ImageTooLarge, InvalidImage, TooLarge
from pvc.images.body import Body
from pvc.images.receive import Received, receive
from pvc.images.sparse import TOO_SHORT, unframed
from pvc.storage.base import Pool
from pvc.units import KIB, MIB
from tests.contract.images.conftest import SIZE
from tests.contract.images.uploads import is_untouched, pieces, quiet, stream
from tests.contract.storage.harness import AnyPool, DirectoryHarness, Harness
from tests.parts.interruption import cut_at
from tests.parts.sparse import frame, framed

BLOCK = 4096
A = b"a" * BLOCK
stretches = st.lists(st.tuples(st.booleans(), st.integers(1, 1200)), max_size=8)


async def upload(pool: Pool, chunks: Iterable[bytes | BaseException], size: int = SIZE) -> Received:
    return await receive(
        unframed(Body(stream(chunks), TOO_SHORT), size),
        declared="raw",
        pool=pool,
        volume="disk0",
        length=size,
        limits=Upload(),
        report=quiet,
        checksum="",
    )


def laid_out(stretches: list[tuple[bool, int]], tail: int) -> tuple[bytes, list[tuple[int, bytes]]]:
    """An image and its frames. stretches: whether it is data, and how many blocks."""
    image, frames = b"", []
    for number, (is_data, blocks) in enumerate(stretches):
        data = bytes([number + 1]) * (blocks * BLOCK)
        if is_data:
            frames.append((len(image), data))
        image += data if is_data else bytes(len(data))
    frames.append((len(image), b"t" * tail))
    return image + b"t" * tail, frames


@given(stretches=stretches, tail=st.integers(1, BLOCK), cuts=st.lists(st.integers(0, 1 << 30), max_size=20))
@settings(max_examples=60, deadline=None)
async def test_any_layout_however_cut_gives_the_image_and_its_hash(
    stretches: list[tuple[bool, int]], tail: int, cuts: list[int]
) -> None:
    image, frames = laid_out(stretches, tail)
    body = framed(len(image), frames)
    edges = [0, *sorted(cut % len(body) for cut in cuts), len(body)]
    with tempfile.TemporaryDirectory() as folder:
        harness = DirectoryHarness(Path(folder))
        pool = await harness.open()
        await pool.create("disk0", 40 * MIB)
        received = await upload(pool, [body[start:end] for start, end in pairwise(edges)], len(image))
        assert harness.content("disk0") == image + bytes(40 * MIB - len(image))
        assert received == Received("raw", len(image), len(image), hashlib.sha256(image).hexdigest())
        await pool.aclose()


@pytest.mark.parametrize("begin", [0, BLOCK, 4 * MIB - BLOCK, 4 * MIB, 5 * MIB])
async def test_holes_are_zeroes_that_take_no_room(pool: AnyPool, harness: Harness, begin: int) -> None:
    data = bytes(range(1, 17)) * (64 * KIB)
    received = await upload(pool, [framed(SIZE, [(begin, data)])])
    image = (bytes(begin) + data).ljust(SIZE, b"\0")
    assert harness.content("disk0") == image
    assert received.sha256 == hashlib.sha256(image).hexdigest()
    used = (await pool.volume("disk0")).used
    assert used is not None
    assert used <= len(data) + 2 * harness.grain


async def test_an_image_of_one_hole_empties_the_volume(pool: AnyPool, harness: Harness) -> None:
    await upload(pool, [framed(SIZE, [])])
    assert harness.content("disk0") == bytes(SIZE)
    assert (await pool.volume("disk0")).used == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "ended before its last frame"),
        (frame(SIZE)[:15], "ended before its last frame"),
        (frame(0, A), "ended before its last frame"),
        (frame(0, A)[:-1], "ended before its last frame"),
        (frame(BLOCK, A) + frame(0, A) + frame(SIZE), "a frame begins at 0, before the end of the one before it"),
        (frame(0, A) + frame(0, A) + frame(SIZE), "a frame begins at 0, before the end of the one before it"),
        (frame(SIZE, A) + frame(SIZE), "past the end of the image"),
        (frame((1 << 64) - BLOCK, A) + frame(SIZE), "past the end of the image"),
        (frame(0, A)[:8] + b"\xff" * 8 + A, "past the end of the image"),
        (frame(SIZE + 1), "past the end of the image"),
        (frame(0, A) + frame(BLOCK), f"the last frame is at {BLOCK}, the image ends at {SIZE}"),
        (frame(0), "the last frame is at 0"),
        (frame(1, A) + frame(SIZE), "not on boundaries of 4096 bytes"),
        (frame(0, b"a") + frame(SIZE), "not on boundaries of 4096 bytes"),
        (frame(0, A) + frame(SIZE) + b"x", "goes on after its last frame"),
        (frame(0, A) + frame(SIZE) + frame(SIZE), "goes on after its last frame"),
        (frame(0, b"QFI\xfb\0\0\0\3".ljust(BLOCK, b"\0")) + frame(SIZE), "its first bytes are those of qcow2"),
    ],
)
@pytest.mark.parametrize("piece", [7, MIB])
async def test_what_is_no_image_is_refused_and_changes_nothing(
    pool: AnyPool, harness: Harness, body: bytes, said: str, piece: int
) -> None:
    with pytest.raises(InvalidImage, match=said):
        await upload(pool, pieces(body, piece))
    assert await is_untouched(pool, harness)


@pytest.mark.parametrize(("size", "refusal"), [(SIZE + 1, ImageTooLarge), (1 << 63, TooLarge)])
async def test_an_image_that_does_not_fit_is_refused_before_its_data(
    pool: AnyPool, harness: Harness, size: int, refusal: type[Exception]
) -> None:
    never_read = RuntimeError("it was read")
    with pytest.raises(refusal):
        await upload(pool, [frame(64 * KIB, A), never_read], size)
    assert await is_untouched(pool, harness)


async def test_an_upload_cancelled_at_any_await_leaves_old_or_new_content(pool: AnyPool, harness: Harness) -> None:
    body = framed(SIZE, [(0, A), (MIB, A), (6 * MIB, A)])
    image = A.ljust(MIB, b"\0") + A.ljust(5 * MIB, b"\0") + A.ljust(2 * MIB, b"\0")
    for suspension in count():
        await cut_at(upload(pool, pieces(body, 3000)), suspension)
        if not await is_untouched(pool, harness):
            break
    assert harness.content("disk0") == image
    assert suspension > 5
