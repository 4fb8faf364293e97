"""Where disks are kept, whatever keeps them: one Protocol, one contract suite (tests/contract/storage)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pvc.errors import Conflict, InUse
from pvc.units import exact_size

Buffer = bytes | bytearray | memoryview
Heard = Callable[[int, int], None]  # told on the event loop how many bytes are done, and of how many


def unheard(_done: int, _total: int) -> None:
    """Told nobody."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The only thing callers may branch on; never on a backend's name or class."""

    shared: bool  # a volume opens on every node: live migration without copying disks needs it
    live_snapshots: bool  # one can be taken while a guest has the volume open; else it is a copy


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes. `free` is what a new volume could really hold now."""

    total: int
    used: int
    free: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a list of pools tells. volumes: how many; id, pgs: as Ceph counts them, 0 elsewhere.

    raw_used: bytes with all copies; tier: the class of devices that it is bound to; counts: more numbers, by the names
    that the API has for them.
    """

    usage: Usage
    volumes: int
    raw_used: int
    id: int = 0
    pgs: int = 0
    tier: str = "default"
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Volume:
    """size: what the guest sees, bytes. used: bytes that the pool really holds for it, counted in the pool's own
    blocks, None when unknown.

    problem: why the volume cannot be read; such a volume is listed, never dropped.
    """

    name: str
    size: int
    used: int | None
    snapshots: int = 0
    created_at: float = 0.0
    modified_at: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A volume that the hypervisor opens as a file of its machine; format raw. path: absolute."""

    path: str


@dataclass(frozen=True, slots=True)
class RBDSource:
    """A volume that the hypervisor opens in Ceph; format raw.

    pool: its name in Ceph. monitors: (host, port) of each. secret: UUID under which libvirt keeps the user's key.
    """

    pool: str
    image: str
    monitors: tuple[tuple[str, int], ...]
    user: str
    secret: str


Source = FileSource | RBDSource  # what a VM's <disk> needs to know


@dataclass(frozen=True, slots=True)
class Secret:
    """What the hypervisor opens a pool's volumes with. uuid: as in RBDSource; name: says to people whose key it is."""

    uuid: str
    name: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lock:
    """That somebody has a volume for itself, kept by the pool. owner, address: the program's, as the pool has them."""

    volume: str
    owner: str
    address: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    volume: str
    name: str
    size: int
    created_at: float = 0.0


class Content(Protocol):
    """What is kept, to be read. Raises PoolUnavailable."""

    async def size(self) -> int: ...

    async def stretches(self) -> Sequence[tuple[int, int]]:
        """(start, end) of what may be other than zeroes, in order."""
        ...

    def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to `end`, in pieces."""
        ...


class Draft(Protocol):
    """New content for a volume, invisible until `commit`. Starts as all zeroes, as long as the volume."""

    @property
    def size(self) -> int:
        """Bytes that fit."""
        ...

    @property
    def path(self) -> str:
        """What qemu-img calls it: a file name, or rbd:pool/image. Its format is raw."""
        ...

    @property
    def files(self) -> Sequence[str]:
        """Files that a program needs to open `path` over the network; none when `path` is itself a file."""
        ...

    async def write(self, data: Buffer) -> None:
        """Append `data` at the current end, which begins at 0.

        Returns when the data is taken over (the caller may reuse its buffer), not when it is on disk; waits when
        too much is under way. Zeroes are not stored. Raises PoolFull, ImageTooLarge, PoolUnavailable.
        """
        ...

    async def skip(self, length: int) -> None:
        """Append `length` zeroes: as `write` of them, at no cost."""
        ...

    async def go_to(self, offset: int) -> None:
        """Go on there, a multiple of 4096, behind or before what was written; nothing may be written twice."""
        ...

    async def flush(self) -> None:
        """Wait until all that was written is where another program can read it through `path`."""
        ...

    def content(self) -> AbstractAsyncContextManager[Content]:
        """What was written when `flush` returned, read back from where it is kept."""
        ...

    async def commit(self) -> None:
        """Make this the volume's content, durable when it returns. At most once, last.

        Raises InUse, NotFound, and Changed when the volume was resized or replaced since the draft began.
        """
        ...


class Pool(Protocol):
    """One pool. Names are already validated by model.names; "in use" by a VM is decided by the caller.

    What is open in a running guest is refused here too (InUse), where the backend can tell. Every change is complete
    or leaves nothing behind when it raises. Raises PoolUnavailable when the backend does not answer. How far a change
    is, is heard of where the backend can measure it.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def usage(self) -> Usage: ...

    async def statistics(self) -> Statistics:
        """Cheap, however many volumes there are."""
        ...

    async def volumes(self) -> list[Volume]:
        """All volumes by name; drafts and scratch space are not volumes."""
        ...

    async def volume_names(self) -> list[str]:
        """Of all volumes, in any order; cheaper than what `volumes` finds out about each."""
        ...

    async def volume(self, name: str) -> Volume:
        """Raises NotFound(kind="volume", name="POOL/NAME")."""
        ...

    def source(self, name: str) -> Source:
        """Where the hypervisor finds volume `name`, whether or not it exists."""
        ...

    async def secret(self) -> Secret | None:
        """What the hypervisor must be given before it opens a source; None when it needs nothing."""
        ...

    async def create(self, name: str, size: int) -> Volume:
        """Create an empty sparse volume; the size is rounded up to a multiple of 4096 bytes, the result says to what.

        Raises AlreadyExists, PoolFull when size exceeds what the pool could ever hold.
        """
        ...

    async def resize(self, name: str, size: int, *, shrink: bool = False) -> Volume:
        """Grow, or cut off the end when `shrink`. Raises Conflict when smaller and not `shrink`, InUse, NotFound."""
        ...

    async def rename(self, name: str, new_name: str) -> None:
        """Snapshots go along. Raises AlreadyExists, InUse, NotFound."""
        ...

    async def clone(self, name: str, new_name: str, heard: Heard = unheard) -> Volume:
        """Copy the content as it is now; sparse stays sparse. Raises AlreadyExists, NotFound, InUse, PoolFull."""
        ...

    async def remove(self, name: str, heard: Heard = unheard) -> None:
        """Raises InUse, NotFound, Conflict while it has snapshots."""
        ...

    async def is_open(self, name: str) -> bool:
        """Whether a running guest (or any other program that locks images) has the volume open."""
        ...

    def draft(self, name: str, expected: int | None = None) -> AbstractAsyncContextManager[Draft]:
        """New content for volume `name`, dropped without a trace when the context ends before `commit`.

        expected: about how many bytes of data it will hold, where that is known.
        Raises NotFound, InUse on entry, and again InUse on commit when the volume came into use meanwhile.
        """
        ...

    def scratch(self, name: str, size: int) -> AbstractAsyncContextManager[Draft]:
        """Temporary space for at most `size` bytes under a unique name, always removed at the end.

        name: of the volume that it is for.

        As long as what was written when `flush` returns, or longer and then zeroes; `commit` is not for it.
        """
        ...

    async def unfinished(self) -> Mapping[str, str]:
        """What is kept beside the volumes (drafts, scratch space, volumes on their way out), by its name.

        The value: the volume that it is for, "" where that is not known; its maker holds that volume's lock.
        """
        ...

    async def remove_orphans(self, among: Collection[str] | None = None) -> Sequence[str]:
        """Remove what dead processes left unfinished, and undo what they had begun; returns its names.

        In a shared pool a process that is just making something may seem dead: name what is surely not its own.
        """
        ...

    async def aclose(self) -> None: ...


class Pools(dict[str, Pool]):
    """The pools by name, as they were when last looked at."""

    async def look(self, name: str = "") -> None:
        """See which there are now, or only whether there is `name`.

        Raises Unavailable where that cannot be found out; what was known stays.
        """

    async def aclose(self) -> None:
        for pool in self.values():
            await pool.aclose()


class Snapshots(Protocol):
    """What a pool that can snapshot offers besides Pool."""

    async def snapshots(self, volume: str) -> list[Snapshot]: ...

    async def snapshot(self, volume: str, name: str, heard: Heard = unheard) -> Snapshot:
        """Raises AlreadyExists, NotFound, PoolFull, InUse when the content could change while it is copied."""
        ...

    async def rename_snapshot(self, volume: str, name: str, new_name: str) -> None: ...

    async def remove_snapshot(self, volume: str, name: str) -> None: ...

    def content(self, volume: str, name: str) -> AbstractAsyncContextManager[Content]:
        """What the snapshot holds. Raises NotFound on entry."""
        ...

    async def roll_back(self, volume: str, name: str, heard: Heard = unheard) -> None:
        """Set the volume, its size included, back to the snapshot, which stays. Raises InUse, NotFound."""
        ...


def open_elsewhere(name: str, *, shared: bool, kind: str = "volume") -> InUse:
    """What keeps a volume that somebody has open as it is. name: as POOL/VOLUME."""
    dead = ", or one that died less than half a minute ago" if shared else ""
    return InUse(kind=kind, name=name, user=f"a running guest or another program{dead}")


def kept_by_snapshots(volume: str, count: int) -> Conflict:
    """What keeps a volume that has snapshots from being removed. volume: as POOL/VOLUME."""
    return Conflict(kind="volume", name=volume, problem=f"has {count} snapshot{'s' if count > 1 else ''}")


def would_shrink(volume: str, size: int, new_size: int) -> Conflict:
    """What keeps a volume from becoming smaller, unless that is wanted. volume: as POOL/VOLUME."""
    problem = f"has {exact_size(size)}, and shrinking it to {exact_size(new_size)} would cut off its end unless forced"
    return Conflict(kind="volume", name=volume, problem=problem)


class Locks(Protocol):
    """What a pool offers besides Pool whose locks may outlast those who took them."""

    async def locks(self, volume: str) -> list[Lock]:
        """Who has the volume for itself, alive or not. Raises NotFound."""
        ...

    async def break_locks(self, volume: str) -> list[Lock]:
        """Take them away, and let their owners write nothing any more. Returns them. Raises NotFound, InUse where
        somebody alive has the volume open.
        """
        ...
