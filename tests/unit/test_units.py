"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvc.units import GIB, KIB, MIB, TIB, exact_size, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096", 4096),
        ("4096B", 4096),
        ("1k", KIB),
        ("512 MiB", 512 * MIB),
        ("10G", 10 * GIB),
        ("10g", 10 * GIB),
        ("10GB", 10 * GIB),
        (" 2T ", 2 * TIB),
        ("1P", 1024 * TIB),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "10 X", "1.5G", "-1G", "1e9", "0x10", "10GG", "10BB", "10iB", "1_000", "٣G", "1" * 5000]
)
def test_what_is_no_size_is_refused_in_a_phrase(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a whole number of bytes or have a suffix"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "0G"])
def test_no_bytes_at_all_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be more than zero$"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1B"), (1023, "1023B"), (KIB, "1K"), (10 * GIB, "10G"), (1536 * MIB, "1.5G"), (TIB, "1T")]
)
def test_a_size_is_shown_short(size: int, text: str) -> None:
    assert format_size(size) == text


def test_an_exact_size_is_never_rounded() -> None:
    assert [exact_size(size) for size in (12 * GIB, 512, 4 * MIB + 512)] == ["12G", "512B", "4194816 bytes"]


@given(st.integers(1, 1023), st.sampled_from([1, KIB, MIB, GIB, TIB, 1024 * TIB]))
def test_a_whole_size_is_read_back_as_it_is_shown(count: int, unit: int) -> None:
    assert parse_size(format_size(count * unit)) == count * unit
