from __future__ import annotations

import hashlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pvc.images.digest import Fingerprint, Hashes
from pvc.images.sparse import Hole
from pvc.units import KIB, TIB

stretches = st.lists(st.tuples(st.sampled_from([b"\0", b"a", b"\0b"]), st.integers(1, 90_000)), max_size=8)


def fingerprint(*chunks: bytes | Hole) -> str:
    taken = Fingerprint()
    for chunk in chunks:
        taken.add(chunk)
    return taken.result()


@given(stretches, st.lists(st.integers(0, 1 << 30), max_size=10), st.integers(0, 200_000))
def test_a_fingerprint_heeds_neither_cuts_nor_holes_nor_zeroes_at_the_end(
    stretches: list[tuple[bytes, int]], cuts: list[int], tail: int
) -> None:
    whole = b"disk" + b"".join(pattern * times for pattern, times in stretches)
    edges = [0, *sorted(cut % len(whole) for cut in cuts), len(whole)]
    cut = [whole[start:end] for start, end in pairwise(edges)]
    holes = [b"disk", *(Hole(times) if pattern == b"\0" else pattern * times for pattern, times in stretches)]
    assert fingerprint(whole) == fingerprint(*cut) == fingerprint(*holes) == fingerprint(whole, Hole(tail))
    assert fingerprint(whole) == fingerprint(whole, bytes(tail))


@given(stretches, st.integers(0, 1 << 30))
def test_a_fingerprint_heeds_every_byte_and_its_place(stretches: list[tuple[bytes, int]], at: int) -> None:
    whole = b"disk" + b"".join(pattern * times for pattern, times in stretches)
    changed = bytearray(whole)
    changed[at % len(whole)] ^= 1
    assert fingerprint(whole) != fingerprint(bytes(changed))
    assert fingerprint(whole) != fingerprint(Hole(1), whole) != fingerprint(Hole(64 * KIB), whole)


def test_a_hole_costs_a_fingerprint_nothing() -> None:
    assert fingerprint(b"a", Hole(1000 * TIB - 1), b"b") != fingerprint(b"a", Hole(1000 * TIB + 64 * KIB - 1), b"b")


def test_hashes_count_the_zeroes_of_holes() -> None:
    taken = Hashes(["sha256", "md5"])
    for chunk in (b"a", Hole(5_000_000), b"b"):
        taken.add(chunk)
    whole = b"a" + bytes(5_000_000) + b"b"
    assert taken.result() == {name: hashlib.new(name, whole).hexdigest() for name in ("sha256", "md5")}
