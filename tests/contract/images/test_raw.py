"""Raw images: what comes in is what the volume holds, however it is cut up and wherever it breaks off."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvc.config import Upload
from pvc.errors import Changed, ImageTooLarge, InUse, InvalidImage, InvalidInput, NotFound, PVCError, Timeout, TooLarge
from pvc.images.receive import Received, receive
from pvc.units import KIB, MIB
from tests.contract.images.conftest import SIZE
from tests.contract.images.uploads import is_untouched, pieces, quiet, upload
from tests.contract.storage.harness import AnyPool, DirectoryHarness, Harness
from tests.parts.interruption import cut_at

stretches = st.lists(st.tuples(st.sampled_from([b"\0", b"a", b"bc", b"\0d"]), st.integers(1, 300_000)), max_size=12)


@given(stretches=stretches, cuts=st.lists(st.integers(0, SIZE), max_size=20), known=st.booleans())
@settings(max_examples=60, deadline=None)
async def test_any_split_of_any_content_gives_the_same_volume_and_hash(
    stretches: list[tuple[bytes, int]], cuts: list[int], known: bool
) -> None:
    data = b"disk" + b"".join(pattern * times for pattern, times in stretches)
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    with tempfile.TemporaryDirectory() as folder:
        harness = DirectoryHarness(Path(folder))
        pool = await harness.open()
        await pool.create("disk0", SIZE)
        received = await upload(pool, chunks, length=len(data) if known else None)
        assert harness.content("disk0") == data + bytes(SIZE - len(data))
        assert received == Received("raw", len(data), len(data), hashlib.sha256(data).hexdigest())
        await pool.aclose()


async def test_progress_is_told_for_every_chunk(pool: AnyPool) -> None:
    told: list[tuple[str, int, int]] = []
    chunks = pieces(b"x" * MIB, 256 * KIB)
    await upload(pool, chunks, length=MIB, report=lambda *told_now: told.append(told_now))
    assert told == [("receiving", (number + 1) * 256 * KIB, MIB) for number in range(4)]
    told.clear()
    await upload(pool, chunks, report=lambda *told_now: told.append(told_now))
    assert told[-1] == ("receiving", MIB, 0)


async def test_an_image_as_large_as_the_volume_fits(pool: AnyPool, harness: Harness) -> None:
    await upload(pool, pieces(b"x" * SIZE, MIB), length=SIZE)
    assert harness.content("disk0") == b"x" * SIZE


async def test_a_length_that_does_not_fit_is_refused_before_the_upload_is_read(pool: AnyPool, harness: Harness) -> None:
    never_read = InvalidImage(problem="it was read")
    with pytest.raises(TooLarge):
        await upload(pool, [never_read], length=SIZE + 1, limits=Upload(largest_bytes=SIZE))
    with pytest.raises(ImageTooLarge) as exc:
        await upload(pool, [b"x" * 65536, never_read], length=SIZE + 1)
    assert exc.value.fields == {"size": SIZE + 1, "volume": "local/disk0", "limit": SIZE}
    assert await is_untouched(pool, harness)


async def test_what_grows_too_large_is_refused_as_soon_as_it_does(pool: AnyPool, harness: Harness) -> None:
    never_read = InvalidImage(problem="it was read")
    with pytest.raises(ImageTooLarge):
        await upload(pool, [b"x" * SIZE, b"x", never_read])
    with pytest.raises(TooLarge):
        await upload(pool, [b"x" * MIB, b"x", never_read], limits=Upload(largest_bytes=MIB))
    assert await is_untouched(pool, harness)


@pytest.mark.parametrize(
    ("chunks", "length", "said"),
    [
        ([], None, "the upload is empty"),
        ([b"", b""], None, "the upload is empty"),
        ([], 10, "the upload ended after 0 of 10 bytes"),
        ([b"x" * 9], 10, "the upload ended after 9 of 10 bytes"),
        ([b"x" * MIB, b"y"], 2 * MIB, "the upload ended after 1048577 of 2097152 bytes"),
        ([b"x" * 9, b"xx"], 10, "goes on after the 10 bytes"),
        ([b"x" * MIB, b"x"], MIB, "goes on after the 1048576 bytes"),
        ([b"QFI\xfb\0\0\0\3", bytes(500)], None, "its first bytes are those of qcow2"),
    ],
)
async def test_what_is_no_whole_raw_image_is_refused(
    pool: AnyPool, harness: Harness, chunks: list[bytes], length: int | None, said: str
) -> None:
    with pytest.raises(InvalidImage, match=said):
        await upload(pool, chunks, length=length)
    assert await is_untouched(pool, harness)


async def test_a_format_that_is_none_is_refused_before_anything_else(pool: AnyPool, harness: Harness) -> None:
    with pytest.raises(InvalidInput):
        await upload(pool, [RuntimeError("it was read")], "floppy")
    assert await is_untouched(pool, harness)


async def test_an_unknown_or_used_volume_is_refused_before_the_upload_is_read(pool: AnyPool, harness: Harness) -> None:
    with harness.held("disk0"), pytest.raises(InUse):
        await upload(pool, [RuntimeError("it was read")])
    assert await is_untouched(pool, harness)
    await pool.rename("disk0", "disk1")
    with pytest.raises(NotFound):
        await upload(pool, [RuntimeError("it was read")])


async def test_of_two_uploads_into_one_volume_one_is_refused_and_none_is_mixed(pool: AnyPool, harness: Harness) -> None:
    uploads = (upload(pool, pieces(letter * SIZE, MIB)) for letter in (b"a", b"b"))
    answers = await asyncio.gather(*uploads, return_exceptions=True)
    assert [type(answer) for answer in answers if isinstance(answer, PVCError)] == [Changed]
    assert harness.content("disk0") in (b"a" * SIZE, b"b" * SIZE)


async def test_a_client_that_falls_silent_is_given_up(pool: AnyPool, harness: Harness) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        await asyncio.Event().wait()

    with pytest.raises(Timeout, match=r"More of the upload did not happen within 0\.01 s"):
        await receive(
            silent(),
            declared="raw",
            pool=pool,
            volume="disk0",
            length=None,
            limits=Upload(idle_timeout_s=0.01),
            report=quiet,
        )
    assert await is_untouched(pool, harness)


@pytest.mark.parametrize("chunks_before", range(9))
async def test_a_client_that_vanishes_at_any_chunk_leaves_nothing(
    pool: AnyPool, harness: Harness, chunks_before: int
) -> None:
    gone = ConnectionResetError("the client is gone")
    with pytest.raises(ConnectionResetError):
        await upload(pool, [*pieces(b"x" * SIZE, MIB)[:chunks_before], gone], length=SIZE)
    assert await is_untouched(pool, harness)


async def test_an_upload_cancelled_at_any_await_leaves_old_or_new_content(pool: AnyPool, harness: Harness) -> None:
    new = b"new" + bytes(SIZE - 6) + b"end"
    for suspension in count():
        await cut_at(upload(pool, pieces(new, MIB)), suspension)
        if not await is_untouched(pool, harness):
            break
    assert harness.content("disk0") == new
    assert suspension > 5


async def test_an_upload_cancelled_while_it_waits_for_its_client_leaves_nothing(
    pool: AnyPool, harness: Harness
) -> None:
    reading = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        reading.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(
        receive(slow(), declared="raw", pool=pool, volume="disk0", length=None, limits=Upload(), report=quiet)
    )
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await is_untouched(pool, harness)


async def test_an_upload_of_zeroes_takes_no_room(pool: AnyPool, harness: Harness) -> None:
    await upload(pool, pieces(bytes(SIZE), MIB))
    used = (await pool.volume("disk0")).used
    assert used is not None
    assert used == 0
    assert harness.content("disk0") == bytes(SIZE)
