"""An OVA as it streams in: descriptor first, then its disks as they come, each hash worked out on the way.

Source: DMTF DSP0243, 6.4. The manifest may stand behind the descriptor or at the end; nobody knows which before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from pvc.errors import InvalidImage
from pvc.images import manifest, ovf
from pvc.images.digest import Hashes, Summing
from pvc.images.manifest import MANIFEST_BYTES, Digest
from pvc.images.ovf import DESCRIPTOR_BYTES, Descriptor
from pvc.images.tar import Archive, Member, shown


class Sink(Protocol):
    """Takes the machine and its disks."""

    async def begin(self, descriptor: Descriptor) -> None:
        """Called once, before any of the disks is read."""
        ...

    async def put(self, place: int, size: int, chunks: AsyncIterator[bytes]) -> None:
        """place: of the disk among the descriptor's. size: bytes of the file that `chunks` are; all may be read."""
        ...


@dataclass(frozen=True, slots=True)
class Unpacked:
    """manifest: whether the archive had one, which holds then. certificate: whether it had one; nobody looked at it.

    passed_over: members that are no disk of the machine.
    """

    manifest: bool
    certificate: bool
    passed_over: tuple[str, ...]


async def unpack(chunks: AsyncIterator[bytes], sink: Sink) -> Unpacked:
    """Raises InvalidImage for what is not, as a whole, what its descriptor and its manifest say; and what `sink` does.

    Until it returns nothing of what the sink was given may be taken for good.
    """
    return await _Unpacking(Archive(chunks), sink).run()


class _Unpacking:
    def __init__(self, archive: Archive, sink: Sink) -> None:
        self._archive, self._sink = archive, sink
        self._manifest: dict[str, Digest] | None = None
        self._certificate = False
        self._hashes: dict[str, dict[str, str]] = {}
        self._passed_over: list[str] = []

    async def run(self) -> Unpacked:
        name, descriptor = await self._descriptor()
        await self._sink.begin(descriptor)
        while (member := await self._archive.next()) is not None:
            await self._member(member, descriptor)
        for file in descriptor.files:
            if file not in self._hashes:
                raise InvalidImage(problem=f'its descriptor names "{shown(file)}", which is not in the archive')
        if self._manifest is not None:
            manifest.check(self._manifest, self._hashes, required=[name, *descriptor.files])
        return Unpacked(self._manifest is not None, self._certificate, tuple(self._passed_over))

    async def _descriptor(self) -> tuple[str, Descriptor]:
        member = await self._archive.next()
        if member is None:
            raise InvalidImage(problem="the archive is empty")
        if not member.name.lower().endswith(".ovf"):
            raise InvalidImage(problem=f'the archive begins with "{member.name}", not with an OVF descriptor')
        data = await self._all(member, DESCRIPTOR_BYTES, "descriptor")
        return member.name, ovf.parse(data)

    async def _member(self, member: Member, descriptor: Descriptor) -> None:
        match member.name.lower().rpartition(".")[2]:
            case "ovf":
                raise InvalidImage(problem="the archive has a second descriptor")
            case "mf" if self._manifest is not None:
                raise InvalidImage(problem="the archive has a second manifest")
            case "mf":
                self._manifest = manifest.parse(await self._all(member, MANIFEST_BYTES, "manifest"))
            case "cert":
                self._certificate = True
            case _:
                await self._file(member, descriptor)

    async def _file(self, member: Member, descriptor: Descriptor) -> None:
        told = descriptor.files.get(member.name)
        if told is not None and told != member.size:
            problem = f'"{member.name}" has {member.size} bytes, its descriptor says {told}'
            raise InvalidImage(problem=problem)
        hashing = Summing(Hashes(self._algorithms(member.name)))
        places = [place for place, disk in enumerate(descriptor.disks) if disk.file == member.name]
        for place in places:
            await self._sink.put(place, member.size, hashing.passing(self._archive.content()))
        if not places:
            self._passed_over.append(member.name)
        async for _rest in hashing.passing(self._archive.content()):
            pass
        self._hashes[member.name] = await hashing.result()

    def _algorithms(self, name: str) -> tuple[str, ...]:
        """All, while a manifest may come that wants any of them."""
        if self._manifest is None:
            return manifest.ALGORITHMS
        return (self._manifest[name].algorithm,) if name in self._manifest else ()

    async def _all(self, member: Member, limit: int, what: str) -> bytes:
        if member.size > limit:
            raise InvalidImage(problem=f"its {what} has {member.size} bytes; at most {limit} are accepted")
        hashing = Summing(Hashes(manifest.ALGORITHMS))
        data = b"".join([chunk async for chunk in hashing.passing(self._archive.content())])
        self._hashes[member.name] = await hashing.result()
        return data
