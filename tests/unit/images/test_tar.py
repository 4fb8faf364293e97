"""Archives of strangers: plain files in order, and one sentence for all else."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Callable

import pytest

from pvc.errors import InvalidImage
from pvc.images.tar import Archive
from tests.parts.ova import BLOCK, END, archive, header, member, padded, pax


async def cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(data: bytes, piece: int = 1000) -> list[tuple[str, bytes]]:
    tar, found = Archive(cut(data, piece)), []
    while (one := await tar.next()) is not None:
        content = b"".join([chunk async for chunk in tar.content()])
        assert len(content) == one.size
        found.append((one.name, content))
    return found


FILES = [("a.ovf", b"x" * 700), ("empty.mf", b""), ("disk.vmdk", b"d" * 1024)]


@pytest.mark.parametrize("piece", [1, 511, 512, 1 << 20])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
async def test_what_tar_writes_is_read_whatever_the_pieces(form: int, piece: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in FILES:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5  # a half second makes a pax header
            tar.addfile(info, io.BytesIO(data))
    assert await read(out.getvalue(), piece) == FILES


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
async def test_a_long_name_is_read(form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        tar.addfile(tarfile.TarInfo("n" * 150 + ".vmdk"))
    assert await read(out.getvalue()) == [("n" * 150 + ".vmdk", b"")]


async def test_what_is_not_read_of_a_member_is_passed_over() -> None:
    tar = Archive(cut(archive(member("a", b"1" * 5000), member("b", b"2")), 100))
    assert (one := await tar.next()) and one.name == "a"
    assert await anext(tar.content())
    assert (two := await tar.next()) and two.name == "b"
    assert b"".join([chunk async for chunk in tar.content()]) == b"2"
    assert await tar.next() is None


async def test_a_name_may_begin_with_the_folder_itself() -> None:
    assert await read(archive(member("./a.ovf", b"1"))) == [("a.ovf", b"1")]


async def test_a_size_as_gnu_writes_large_ones_is_read() -> None:
    large = header("a", b"\x80" + (3).to_bytes(11)) + padded(b"abc") + END
    assert await read(large) == [("a", b"abc")]


async def test_a_size_of_pax_counts_more_than_the_headers() -> None:
    assert await read(pax(("size", "3")) + header("a", 0) + padded(b"abc") + END) == [("a", b"abc")]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a hard link": (archive(member("a", kind="1")), 'has a hard link, "a"; only plain files are accepted'),
    "a symbolic link": (archive(member("a", kind="2")), 'has a symbolic link, "a"'),
    "a character device": (archive(member("a", kind="3")), 'has a character device, "a"'),
    "a block device": (archive(member("a", kind="4")), 'has a block device, "a"'),
    "a folder": (archive(member("a/", kind="5")), 'has a folder, "a/"'),
    "a FIFO": (archive(member("a", kind="6")), 'has a FIFO, "a"'),
    "a contiguous file": (archive(member("a", kind="7")), 'has a contiguous file, "a"'),
    "GNU's sparse file": (archive(member("a", kind="S")), 'has a sparse file, "a"'),
    "a long link name": (archive(member("a", b"b", kind="K")), "has a long link name"),
    "a global header": (archive(pax(("path", "b"), kind="g")), "has a pax header for all of the archive"),
    "an unknown kind": (archive(member("a", kind="Z")), 'has a thing of an unknown kind, "a"'),
    "an absolute name": (archive(member("/etc/passwd")), 'a file whose name is absolute: "/etc/passwd"'),
    "a name that leads out": (archive(member("../a")), 'a file whose name leads out of the archive with "..": "../a"'),
    "a name that leads out, within": (archive(member("b/../../a")), "leads out of the archive"),
    "a name in a folder": (archive(member("b/a")), 'a file whose name lies in a folder: "b/a"'),
    "a prefix": (archive(member("a", prefix=b"/etc")), 'a file whose name is absolute: "/etc/a"'),
    "no name": (archive(member("")), 'a file whose name cannot be a file name: ""'),
    "a control character": (archive(member("a\nb")), 'cannot be a file name: "a?b"'),
    "no UTF-8": (archive(member(b"\xff")), "a name that is not UTF-8"),
    "a name twice": (archive(member("a"), member("./a")), 'the archive has "a" twice'),
    "too many": (archive(*(member(f"f{number}") for number in range(129))), "has more than 128 files"),
    "a pax name that leads out": (archive(pax(("path", "../b")), member("a")), "leads out of the archive"),
    "a pax name with a zero": (archive(pax(("path", "a\0b")), member("a")), "cannot be a file name"),
    "GNU's sparse file in pax": (archive(pax(("GNU.sparse.major", "1")), member("a")), 'has a sparse file, "a"'),
    "star's sparse file": (archive(pax(("SCHILY.realsize", "1")), member("a")), 'has a sparse file, "a"'),
    "a long pax header": (archive(pax(("comment", "c" * 32768)), member("a")), "too long or stands there twice"),
    "a huge pax header": (header("x", b"7" * 11, "x"), "too long or stands there twice"),
    "a huge long name": (header("x", b"7" * 11, "L"), "too long or stands there twice"),
    "two pax headers": (archive(pax(), pax(), member("a")), "too long or stands there twice"),
    "endless pax headers": (pax(("a", "b")) * 500, "too long or stands there twice"),
    "a pax header alone": (archive(pax(("path", "a"))), "the header of a file that is not there"),
    "a pax header without a length": (archive(member("x", b"path=a\n", "x"), member("a")), "damaged pax header"),
    "a pax header that lies": (archive(member("x", b"99 path=a\n", "x"), member("a")), "damaged pax header"),
    "a pax header of nothing": (archive(member("x", b"2 \n", "x"), member("a")), "damaged pax header"),
    "a pax size that is none": (archive(pax(("size", "-1")), member("a")), "a size that is none"),
    "a pax size that cannot be": (archive(pax(("size", "9" * 18)), member("a")), "ends before its end marker"),
    "a negative size": (header("a", b"\xff" * 12), "a number that is none"),
    "a size that is none": (header("a", b"12z"), "a number that is none"),
    "a size that overflows": (header("a", b"\x80" + b"\x7f" * 11), "which cannot be"),
    "a wrong checksum": (bytes([65]) + header("b", 0)[1:] + END, "the checksum of a header is wrong"),
    "an old tar": (header("a", 0, magic=b"\0" * 8) + END, "a header that is not ustar's"),
    "no tar": (b"PK" * BLOCK, "a number that is none"),
    "nothing": (b"", "ends before its end marker"),
    "one block of zeroes": (member("a") + bytes(BLOCK) + member("b") + END, "a block of zeroes where a file should"),
    "an end without its second block": (member("a") + bytes(BLOCK), "ends before its end marker"),
    "no end": (member("a"), "ends before its end marker"),
    "a file cut short": (header("a", 1000) + b"a" * 500, "ends before its end marker"),
    "more behind the end": (archive(member("a")) + member("b"), "goes on after its end marker"),
    "endless zeroes": (archive(member("a")) + bytes(2 << 20), "goes on after its end marker"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_archive_is_refused_with_one_sentence(name: str) -> None:
    data, words = HOSTILE[name]
    for piece in (100, 1 << 20):
        with pytest.raises(InvalidImage) as exc:
            await read(data, piece)
        assert words in str(exc.value)
        assert str(exc.value).endswith(".")
        assert str(exc.value).isprintable()


async def test_an_endless_archive_is_read_no_further_than_its_refusal() -> None:
    async def endless(make: Callable[[int], bytes]) -> AsyncIterator[bytes]:
        for number in range(1000):
            yield make(number)
        raise AssertionError("all was read")

    for make in (lambda number: member(f"f{number}"), lambda _: pax(("a", "b")), lambda _: bytes(BLOCK * 100)):
        tar = Archive(endless(make))
        with pytest.raises(InvalidImage):
            while await tar.next() is not None:
                pass
