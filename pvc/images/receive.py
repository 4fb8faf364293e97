"""An image on its way from a client into a volume: each stage pulls from the one before and keeps only a little."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pvc.config import Upload
from pvc.errors import ImageTooLarge, InvalidImage, NotAsWritten
from pvc.images import qcow2, vhd, vhdx, vmdk
from pvc.images.aside import Aside
from pvc.images.convert import Work, convert, is_equal
from pvc.images.digest import Fingerprint, Hashes, Summing
from pvc.images.incoming import Incoming
from pvc.images.inspect import HEAD_BYTES, Image, check_format, inspect
from pvc.images.sparse import Hole, Place
from pvc.images.unwrap import packing, unwrapped
from pvc.storage.base import Draft, Pool
from pvc.units import MIB

Report = Callable[[str, int, int], None]
Chunks = AsyncIterator[bytes | Hole | Place]


@dataclass(frozen=True, slots=True)
class Received:
    """What came, holes included. received: bytes of the upload; virtual_size: bytes that a guest sees of it; sha256: of
    the upload, "" where nobody asked for it.
    """

    format: str
    received: int
    virtual_size: int
    sha256: str


async def receive(
    chunks: AsyncIterator[bytes | Hole],
    *,
    declared: str,
    pool: Pool,
    volume: str,
    length: int | None,
    limits: Upload,
    report: Report,
    checksum: str | None = None,
    verify: bool = False,
    expected: int | None = None,
    qemu_img: Sequence[str] = ("qemu-img",),
) -> Received:
    """Make the uploaded image the content of a volume; zeroes follow where it is smaller.

    Until it returns the volume holds its old content, and nothing stays behind when it raises or is cancelled.
    length: of the upload where it is known; holes count everywhere, also in the SHA-256. report: gets "receiving",
    "converting" or "verifying", bytes done, bytes in all (0 where that is unknown); called for every chunk. checksum:
    the SHA-256 that the upload must have, "" to be told it, None when it is not worth the processor time. verify: read
    back what was written, and compare. expected: as Pool.draft takes it.
    Raises InvalidInput, InvalidImage, ImageTooLarge, TooLarge, Timeout, ConversionFailed, NotAsWritten, and what
    Pool.draft raises.
    """
    check_format(declared)
    async with pool.draft(volume, expected) as draft:
        incoming = Incoming(length, limits, partial(_report_received, report, length or 0))
        summing = Summing(Hashes(["sha256"]))
        upload = incoming.passing(chunks)
        content, length = await _unpacked(upload if checksum is None else summing.passing(upload), draft.size, length)
        full = f"{pool.name}/{volume}"
        image = inspect(content.head, declared, volume=full, capacity=draft.size, length=length)
        space = pool.scratch(volume, limits.largest_bytes if length is None else length)
        if image.as_it_comes:
            done = partial(_report_done, report, "converting", image.virtual_size or 0)
            size, right = await _put(image, content, Aside(space), draft, done, verify=verify)
        else:
            async with space as scratch:
                size = await _store(image, content, scratch)
                if size > draft.size:
                    raise ImageTooLarge(size=size, volume=full, limit=draft.size)
                work = partial(Work, scratch, draft, image.format, pool.name, limits, program=qemu_img)
                await convert(work(report=partial(_report_share, report, "converting", size)))
                right = not verify or await is_equal(work(report=partial(_report_share, report, "verifying", size)))
        sha256 = "" if checksum is None else (await summing.result())["sha256"]
        if checksum and sha256 != checksum:
            raise InvalidImage(problem=f"the upload has the SHA-256 {sha256}, which is not the one announced")
        if not right:
            raise NotAsWritten(name=full)
        await draft.commit()
    return Received(image.format, incoming.received, size, sha256)


async def _put(
    image: Image, content: _Peeked, aside: Aside, draft: Draft, done: Callable[[int], None], *, verify: bool
) -> tuple[int, bool]:
    """Return the bytes that a guest will see, and whether they were read back right, True when not asked."""
    written = Summing(Fingerprint())
    async with aside:
        decoded = _decoded(image, content, aside, done)
        came = await _pour(written.passing(decoded) if verify else decoded, draft)
    size = came if image.virtual_size is None else image.virtual_size
    if not verify:
        return size, True
    await draft.flush()
    return size, await written.result() == await _read_back(draft)


async def _read_back(draft: Draft) -> str:
    """The fingerprint of what is really there."""
    found, at = Summing(Fingerprint()), 0
    async with draft.content() as content:
        for start, end in await content.stretches():
            await found.add(Hole(start - at))
            async for data in content.read(start, end):
                await found.add(data)
            at = end
    return await found.result()


class _Peeked:
    """A stream whose first bytes are known before it is read. head: HEAD_BYTES of them, or all."""

    def __init__(self, chunks: AsyncIterator[bytes | Hole]) -> None:
        self._chunks = chunks
        self._held: list[bytes | Hole] = []
        self.head = b""

    async def look(self) -> _Peeked:
        held = 0
        while held < HEAD_BYTES and (chunk := await anext(self._chunks, None)) is not None:
            self._held.append(chunk)
            held += len(chunk)
        self.head = b"".join(
            bytes(min(len(one), HEAD_BYTES)) if isinstance(one, Hole) else one[:HEAD_BYTES] for one in self._held
        )[:HEAD_BYTES]
        return self

    async def chunks(self) -> AsyncIterator[bytes | Hole]:
        while self._held:
            yield self._held.pop(0)
        async for chunk in self._chunks:
            yield chunk

    async def data(self) -> AsyncIterator[bytes]:
        """Raises InvalidImage where there is a hole: only a raw image can have one."""
        async for chunk in self.chunks():
            if isinstance(chunk, Hole):
                raise InvalidImage(problem="only a raw image that is not packed can be sent without its holes")
            yield chunk


async def _unpacked(
    upload: AsyncIterator[bytes | Hole], capacity: int, length: int | None
) -> tuple[_Peeked, int | None]:
    """The image and its length, where that is known. length: of the upload."""
    content = await _Peeked(upload).look()
    if (kind := packing(content.head)) is None:
        return content, length
    return await _Peeked(unwrapped(content.data(), kind, _most(capacity))).look(), None


def _most(capacity: int) -> int:
    """What an image of a disk of that size can take, tables and rests included; more is a bomb."""
    return 2 * capacity + 64 * MIB


def _decoded(image: Image, content: _Peeked, aside: Aside, done: Callable[[int], None]) -> Chunks:
    match image.format:
        case "qcow2":
            return qcow2.decoded(content.data(), aside, done)
        case "vmdk":
            return vmdk.decoded(content.data())
        case "vpc":
            return vhd.fixed(content.data())
        case _:
            return content.chunks()


async def _store(image: Image, content: _Peeked, scratch: Draft) -> int:
    """Keep the image where qemu-img finds it; returns the bytes that a guest will see of it."""
    size = image.virtual_size or 0
    match image.format:
        case "vhdx":
            watch = vhdx.Watch()
            await _pour(watch.passing(content.data()), scratch)
            size = watch.virtual_size
        case "vpc":
            await _pour(vhd.by_current_size(content.data()), scratch)
        case _:
            await _pour(content.data(), scratch)
    await scratch.flush()
    return size


async def _pour(content: Chunks, draft: Draft) -> int:
    """Return the bytes written."""
    size = 0
    async for chunk in content:
        size += len(chunk)
        match chunk:
            case Hole():
                await draft.skip(len(chunk))
            case Place():
                await draft.go_to(chunk.start)
            case _:
                await draft.write(chunk)
    return size


def _report_received(report: Report, length: int, received: int) -> None:
    report("receiving", received, length)


def _report_done(report: Report, phase: str, size: int, done: int) -> None:
    report(phase, done, size)


def _report_share(report: Report, phase: str, size: int, share: float) -> None:
    report(phase, int(share * size), size)
