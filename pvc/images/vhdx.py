"""What of a VHDX must be known before QEMU opens it stands deep within it: it is watched for as the image passes.

Source: Microsoft's MS-VHDX. Of its two region tables QEMU reads the first.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

from pvc.errors import InvalidImage
from pvc.units import KIB, MIB, TIB

SIGNATURE = b"vhdxfile"

_REGIONS_AT, _REGIONS_BYTES = 192 * KIB, 64 * KIB
_METADATA_LIMIT = MIB
_ENTRIES_LIMIT = 2047
_LARGEST = 64 * TIB
_TABLE = struct.Struct("<4sII")  # of regions: signature, checksum, entries
_REGION = struct.Struct("<16sQII")  # what, where, bytes, required
_ITEM = struct.Struct("<16sIII4x")  # what, where in the region, bytes, flags
_PARAMETERS = struct.Struct("<II")  # bytes of a block, flags
_HAS_PARENT = 2

_METADATA, _BAT = "8b7ca206-4790-4b9a-b8fe-575f050f886e", "2dc27766-f623-4200-9d64-115e9bfd4a08"
_FILE_PARAMETERS, _DISK_SIZE = "caa16737-fa36-4d43-b3b6-33f0aa44e76b", "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
_PARENT_LOCATOR = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
_KNOWN = {
    *(_FILE_PARAMETERS, _DISK_SIZE, _PARENT_LOCATOR),
    "beca12ab-b2e6-4523-93ef-c309e000c746",  # identity of the disk
    "8141bf1d-a96f-4709-ba47-f233a8faab5f",  # logical size of a sector
    "cda348c7-445d-4471-9cc9-e9885251c556",  # physical
}


class Watch:
    """Refuses an image with a parent or sizes that cannot be. virtual_size: 0 until the metadata has passed."""

    def __init__(self) -> None:
        self.virtual_size = 0
        self._at, self._length = _REGIONS_AT, _REGIONS_BYTES  # what is kept next
        self._parse: Callable[[bytes], None] = self._parse_regions
        self._kept = b""

    async def passing(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield `chunks`. Raises InvalidImage before the chunk that shows why."""
        position = 0
        async for chunk in chunks:
            self._see(chunk, position)
            position += len(chunk)
            yield chunk
        if not self.virtual_size:
            raise InvalidImage(problem="it ends before its VHDX metadata")

    def _see(self, chunk: bytes, position: int) -> None:
        """position: of the chunk in the file."""
        while not self.virtual_size and position + len(chunk) > self._at + len(self._kept):
            start = self._at + len(self._kept) - position
            self._kept += chunk[start : start + self._length - len(self._kept)]
            if len(self._kept) < self._length:
                return
            kept, self._kept = self._kept, b""
            self._parse(kept)

    def _parse_regions(self, table: bytes) -> None:
        """Looks for the metadata next."""
        signature, _, count = _TABLE.unpack_from(table)
        if signature != b"regi" or count > _ENTRIES_LIMIT:
            raise InvalidImage(problem="its VHDX region table is damaged")
        regions = {}
        for offset in range(16, 16 + count * _REGION.size, _REGION.size):
            name, start, length, required = _REGION.unpack_from(table, offset)
            regions[_guid(name)] = (start, length)
            if required & 1 and _guid(name) not in (_METADATA, _BAT):
                raise InvalidImage(problem=f"it needs a VHDX region that is unknown here ({_guid(name)})")
        start, length = regions.get(_METADATA, (0, 0))
        if not MIB <= start < 1 << 56 or start % MIB or not _REGIONS_BYTES < length <= 64 * MIB:
            raise InvalidImage(problem="its VHDX metadata is not where it can be")
        self._at, self._length, self._parse = start, min(length, _METADATA_LIMIT), self._parse_metadata

    def _parse_metadata(self, region: bytes) -> None:
        if not region.startswith(b"metadata"):
            raise InvalidImage(problem="its VHDX metadata is damaged")
        items = dict(_items(region))
        block, flags = _PARAMETERS.unpack(items.get(_FILE_PARAMETERS, b"")[:8].ljust(8, b"\0"))
        size = int.from_bytes(items.get(_DISK_SIZE, b"")[:8], "little")
        for problem in _problems(block, flags, size, _PARENT_LOCATOR in items):
            raise InvalidImage(problem=problem)
        self.virtual_size = size


def _items(region: bytes) -> Iterator[tuple[str, bytes]]:
    count = int.from_bytes(region[10:12], "little")
    if count > _ENTRIES_LIMIT:
        raise InvalidImage(problem="its VHDX metadata is damaged")
    for offset in range(32, 32 + count * 32, 32):
        name, start, length, flags = _ITEM.unpack_from(region, offset)
        if start < _REGIONS_BYTES or start + length > len(region):
            raise InvalidImage(problem="its VHDX metadata is damaged")
        if flags & 4 and _guid(name) not in _KNOWN:
            raise InvalidImage(problem=f"it needs VHDX metadata that is unknown here ({_guid(name)})")
        yield _guid(name), region[start : start + length]


def _guid(name: bytes) -> str:
    return str(uuid.UUID(bytes_le=name))


def _problems(block: int, flags: int, size: int, locator: bool) -> Iterator[str]:
    if flags & _HAS_PARENT or locator:
        yield "it has a parent; make it self-contained first"
    if not MIB <= block <= 256 * MIB or block & (block - 1):
        yield f"blocks of {block} bytes are not allowed, only powers of 2 from {MIB} to {256 * MIB}"
    if size == 0:
        yield "its virtual size is zero"
    if size > _LARGEST or size % 512:
        yield f"its virtual size of {size} bytes cannot be"
