from __future__ import annotations

import bz2
import gzip
import lzma
import random
import re
import tracemalloc
from collections.abc import AsyncIterator, Callable

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from pvc.errors import InvalidImage
from pvc.images.unwrap import packing, unwrapped
from pvc.units import KIB, MIB

Pack = Callable[[bytes], bytes]
PACKERS: dict[str, Pack] = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstd.compress, "bzip2": bz2.compress}
CONTENT = random.Random(6).randbytes(300 * KIB) + bytes(3 * MIB) + b"end" * 1000
SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0pzst"

kinds = pytest.mark.parametrize("kind", PACKERS)


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def unpack(data: bytes, *, size: int = 100_000, limit: int = 100 * MIB) -> bytes:
    kind = packing(data)
    assert kind is not None
    return b"".join([part async for part in unwrapped(chunked(data, size), kind, limit)])


@kinds
@pytest.mark.parametrize("size", [7, 65536, 10 * MIB])
async def test_the_content_comes_out_however_it_is_cut(kind: str, size: int) -> None:
    packed = PACKERS[kind](CONTENT)
    assert packing(packed) == kind
    assert await unpack(packed, size=size, limit=len(CONTENT)) == CONTENT


@kinds
@pytest.mark.parametrize("padding", [0, 4, 4096])
async def test_several_members_are_one_content(kind: str, padding: int) -> None:
    member = PACKERS[kind](b"one") + bytes(padding)
    assert await unpack(member + PACKERS[kind](b"") + PACKERS[kind](b"two") + bytes(padding)) == b"onetwo"


async def test_frames_that_zstd_skips_are_skipped() -> None:
    assert await unpack(SKIPPED + zstd.compress(CONTENT) + SKIPPED) == CONTENT


@kinds
async def test_what_is_cut_off_is_refused_wherever(kind: str) -> None:
    packed = PACKERS[kind](CONTENT[:1000])
    for length in range(8, len(packed)):
        with pytest.raises(InvalidImage, match=f"it ends within its {kind} data"):
            await unpack(packed[:length])


@kinds
@pytest.mark.parametrize("extra", [b"x", b"\0\0x", b"QFI\xfb" * 100])
async def test_what_follows_the_packed_data_is_refused(kind: str, extra: bytes) -> None:
    with pytest.raises(InvalidImage, match=f"ends within its {kind} data|something else follows"):
        await unpack(PACKERS[kind](b"one") + extra)


@kinds
async def test_a_bomb_is_refused_at_its_limit_and_takes_no_memory(kind: str) -> None:
    bomb = PACKERS[kind](bytes(64 * MIB))
    tracemalloc.start()
    with pytest.raises(InvalidImage, match=r"^.*unpacks to more than the 33554432 bytes that can be needed\.$"):
        async for part in unwrapped(chunked(bomb, 64 * KIB), kind, 32 * MIB):
            assert len(part) <= MIB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MIB


@kinds
async def test_countless_members_without_content_are_refused(kind: str) -> None:
    with pytest.raises(InvalidImage, match=f"its {kind} data is in 1025 pieces, which are too small"):
        await unpack(PACKERS[kind](b"") * 3000)


def greedy_xz() -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 * MIB}]
    return lzma.compress(b"x", filters=filters)


def greedy_zstd() -> bytes:
    window, told = zstd.CompressionParameter.window_log, zstd.CompressionParameter.content_size_flag
    compressor = zstd.ZstdCompressor(options={window: 27, told: 0})
    return compressor.compress(b"x" * KIB) + compressor.flush()


@pytest.mark.parametrize("packed", [greedy_xz(), greedy_zstd()], ids=["xz", "zstd"])
async def test_a_dictionary_larger_than_our_memory_is_refused(packed: bytes) -> None:
    with pytest.raises(InvalidImage, match=re.escape("takes more than 75497472 bytes of memory")):
        await unpack(packed)


async def test_the_highest_ordinary_level_of_xz_is_taken() -> None:
    assert await unpack(lzma.compress(b"content", preset=9 | lzma.PRESET_EXTREME)) == b"content"


@pytest.mark.parametrize("head", [b"", b"\x1f", b"BZh0", b"BZhx", b"QFI\xfb\0\0\0\3", bytes(64), b"\x4f\x2a\x4d\x18"])
def test_what_is_not_packed_is_told(head: bytes) -> None:
    assert packing(head) is None


@given(st.sampled_from(sorted(PACKERS)), st.data())
@settings(max_examples=100, deadline=None)
async def test_any_damage_is_refused_or_unpacks_within_the_limit(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(PACKERS[kind](CONTENT[: 2 * KIB] + bytes(MIB)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(6, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        total = [len(part) async for part in unwrapped(chunked(bytes(damaged), 1000), kind, 2 * MIB)]
    except InvalidImage as exc:
        assert str(exc).endswith(".")
    else:
        assert sum(total) <= 2 * MIB
