"""OVAs as a whole: what the descriptor says against what is in the archive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from pvc.errors import InvalidImage
from pvc.images import manifest
from pvc.images.ova import Unpacked, unpack
from pvc.images.ovf import Descriptor
from tests.parts.ova import RAW, archive, described, file_reference, member
from tests.parts.ova import manifest as manifest_of

A, B = b"a" * 100_000, b"b" * 300
DESCRIPTOR = described(("a.vmdk", RAW), ("b.vmdk", RAW))
SUMS = {"x__ovf": DESCRIPTOR, "a__vmdk": A, "b__vmdk": B}
OVF, DISKS = member("x.ovf", DESCRIPTOR), (member("a.vmdk", A), member("b.vmdk", B))


@dataclass
class Taken:
    """A sink that keeps what it is given. greedy: reads all of a disk."""

    greedy: bool = True
    descriptor: Descriptor | None = None
    disks: dict[int, bytes] = field(default_factory=dict)

    async def begin(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor

    async def put(self, place: int, size: int, chunks: AsyncIterator[bytes]) -> None:
        if not self.greedy:
            self.disks[place] = await anext(chunks)
            return
        self.disks[place] = b"".join([chunk async for chunk in chunks])
        assert len(self.disks[place]) == size


async def taken(data: bytes, sink: Taken | None = None) -> tuple[Taken, Unpacked]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 4000):
            yield data[start : start + 4000]

    sink = sink or Taken()
    return sink, await unpack(chunks(), sink)


async def test_each_disk_is_handed_on_as_it_comes() -> None:
    sink, said = await taken(archive(OVF, *DISKS))
    assert sink.disks == {0: A, 1: B}
    assert said == Unpacked(manifest=False, certificate=False, passed_over=())


@pytest.mark.parametrize("algorithm", manifest.ALGORITHMS)
@pytest.mark.parametrize("greedy", [True, False])
async def test_a_manifest_holds_wherever_it_stands(algorithm: str, greedy: bool) -> None:
    listed = member("x.mf", manifest_of(algorithm, **SUMS))
    for order in ((OVF, listed, *DISKS), (OVF, DISKS[0], listed, DISKS[1]), (OVF, *DISKS, listed)):
        _, said = await taken(archive(*order), Taken(greedy))
        assert said == Unpacked(manifest=True, certificate=False, passed_over=())


async def test_a_certificate_is_accepted_and_said_to_be_there() -> None:
    listed = member("x.mf", manifest_of(**SUMS))
    _, said = await taken(archive(OVF, listed, member("x.cert", b"-----BEGIN"), *DISKS))
    assert said == Unpacked(manifest=True, certificate=True, passed_over=())


async def test_files_that_are_no_disks_are_passed_over_and_named() -> None:
    more = DESCRIPTOR.replace(b"</References>", file_reference("cd.iso", 7).encode() + b"</References>")
    sink, said = await taken(archive(member("x.ovf", more), member("cd.iso", B), *DISKS, member("notes.txt", b"n")))
    assert sink.disks == {0: A, 1: B}
    assert said.passed_over == ("cd.iso", "notes.txt")


def listed(algorithm: str = "sha256", **changes: bytes) -> bytes:
    return member("x.mf", manifest_of(algorithm, **(SUMS | changes)))


SIZED = described(("a.vmdk", RAW)).replace(b'ovf:href="a.vmdk"', b'ovf:href="a.vmdk" ovf:size="99"')
WRONG: dict[str, tuple[bytes, str]] = {
    "an empty archive": (archive(), "the archive is empty"),
    "the descriptor later": (archive(*DISKS, OVF), 'the archive begins with "a.vmdk", not with an OVF descriptor'),
    "two descriptors": (archive(OVF, *DISKS, member("y.ovf", DESCRIPTOR)), "the archive has a second descriptor"),
    "two manifests": (archive(OVF, listed(), member("y.mf", B), *DISKS), "the archive has a second manifest"),
    "a huge descriptor": (archive(member("x.ovf", bytes(2 << 20))), "its descriptor has 2097152 bytes; at most"),
    "a huge manifest": (archive(OVF, member("x.mf", bytes(1 << 20))), "its manifest has 1048576 bytes; at most"),
    "a missing file": (archive(OVF, DISKS[0]), 'its descriptor names "b.vmdk", which is not in the archive'),
    "another size": (archive(member("x.ovf", SIZED), DISKS[0]), '"a.vmdk" has 100000 bytes, its descriptor says 99'),
    "another disk, manifest first": (archive(OVF, listed(a__vmdk=B), *DISKS), '"a.vmdk" is not what the manifest'),
    "another disk, manifest last": (archive(OVF, *DISKS, listed(a__vmdk=B)), '"a.vmdk" is not what the manifest'),
    "another disk by SHA-1": (archive(OVF, *DISKS, listed("sha1", a__vmdk=B)), "its SHA1 is "),
    "another descriptor": (archive(OVF, listed(x__ovf=B), *DISKS), '"x.ovf" is not what the manifest says'),
    "a disk without a hash": (
        archive(OVF, member("x.mf", manifest_of(x__ovf=DESCRIPTOR, a__vmdk=A)), *DISKS),
        'its manifest does not name "b.vmdk"',
    ),
    "a hash without a file": (archive(OVF, listed(c__vmdk=B), *DISKS), 'its manifest names "c.vmdk", which is not'),
    "an unknown hash": (archive(OVF, member("x.mf", b"MD5(a.vmdk)= " + b"0" * 40)), "a hash that is not known here"),
    "a short hash": (archive(OVF, member("x.mf", b"SHA1(a.vmdk)= 00")), "its manifest has a line that is none"),
    "two hashes": (
        archive(OVF, member("x.mf", manifest_of(a__vmdk=A) + manifest_of(a__vmdk=B)), *DISKS),
        'its manifest has two hashes for "a.vmdk"',
    ),
    "an empty manifest": (archive(OVF, member("x.mf", b"\n"), *DISKS), "its manifest is empty"),
    "a manifest in no text": (archive(OVF, member("x.mf", b"\xff\xfe"), *DISKS), "its manifest is not text"),
    "an archive cut short": (archive(OVF, *DISKS)[:-1024], "the archive ends before its end marker"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_an_archive_that_is_not_what_it_says_is_refused(name: str) -> None:
    data, words = WRONG[name]
    with pytest.raises(InvalidImage) as exc:
        await taken(data)
    assert words in str(exc.value)
    assert str(exc.value).endswith(".")


async def test_the_descriptor_is_judged_before_a_disk_is_read() -> None:
    sink = Taken()
    with pytest.raises(InvalidImage, match="DOCTYPE"):
        await taken(archive(member("x.ovf", b"<!DOCTYPE x><x/>"), *DISKS), sink)
    assert sink.descriptor is None
