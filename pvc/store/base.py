"""Where cluster state is kept, whatever keeps it: one Protocol, one contract suite (tests/contract/store).

A store is a tree of small values by path ("/vms/ID"), each with a version that begins at 0 and grows by one with
every write. One Store object is one session: when the session is lost its locks and ephemerals are gone, every call
raises SessionLost, and the owner opens a new Store, reads again, then decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pvc.errors import TooLarge

# A ZooKeeper server drops a connection that sends more than 1 MiB (jute.maxbuffer), silently. The rest is for paths.
MAX_VALUE = 1_000_000
_MAX_REQUEST = 1_048_000
_OPERATION_HEADER = 64  # more than ZooKeeper's own 48 bytes beside path and value


@dataclass(frozen=True, slots=True)
class Entry:
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Create:
    """Fails with AlreadyExists, or NotFound when the parent is missing (parents are made by `ensure` only).

    An ephemeral record ends with its session, and has none below it: Conflict.
    """

    path: str
    value: bytes = b""
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """Fails with Changed unless the stored version is `version`, NotFound when there is none."""

    path: str
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Fails with Changed unless the stored version is `version`, NotFound when there is none, Conflict above others."""

    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Check:
    """Fails with Changed unless the stored version is `version`, NotFound when there is none."""

    path: str
    version: int


Operation = Create | Put | Delete | Check


def refuse_too_large(operations: Sequence[Operation]) -> None:
    """Raises TooLarge for what a ZooKeeper server would not take; both stores keep to it, so that a move fits."""
    sizes = [(operation.path, len(getattr(operation, "value", b""))) for operation in operations]
    for path, size in sizes:
        if size > MAX_VALUE:
            raise TooLarge(what=f'Record "{path}"', size=size, limit=MAX_VALUE)
    values = sum(size for _, size in sizes)
    if values > MAX_VALUE:
        raise TooLarge(what="The change as a whole", size=values, limit=MAX_VALUE)
    request = sum(len(path.encode()) + size + _OPERATION_HEADER for path, size in sizes)
    if request > _MAX_REQUEST:
        raise TooLarge(what="The change as a whole, with its paths,", size=request, limit=_MAX_REQUEST)


class About(StrEnum):
    RECORD = "record"
    CHILDREN = "children"


@dataclass(frozen=True, slots=True)
class Topic:
    """What a bell rings for: a record (made, changed, deleted), or a record's list of children."""

    about: About
    path: str


class Watch(Protocol):
    """A bell, not a messenger: it says that something may have changed, never what."""

    async def wait(self) -> None:
        """Return when anything watched may have changed since the last `wait` returned (or since the watch began).

        Never misses a change; may ring once too often. Raises SessionLost.
        """
        ...


class Following(Protocol):
    """Reads that are heard of again: what was read rings when it changes, for sure until it is read again.

    What does not exist is not followed: the list of children that it would be in is.
    """

    @property
    def rang(self) -> bool:
        """Whether something waits for `changed`."""
        ...

    async def entries(self, paths: Sequence[str]) -> list[Entry | None]: ...

    async def lists(self, paths: Sequence[str]) -> list[list[str] | None]:
        """The names below each path, sorted; None where it does not exist."""
        ...

    async def changed(self) -> frozenset[Topic]:
        """Wait until something rang, and take it: the caller reads it, or hands it back. Raises SessionLost."""
        ...

    def again(self, topics: frozenset[Topic]) -> None:
        """Hand back what could not be read."""
        ...

    async def ready(self) -> None:
        """Return when the store may be asked again."""
        ...


class Reader(Protocol):
    """What reading takes: the store itself, or a mirror of it. Paths that are not there raise NotFound."""

    async def get(self, path: str) -> Entry: ...

    async def get_many(self, paths: Sequence[str]) -> list[Entry | None]:
        """Read many records at once, None for each that does not exist; not one consistent moment."""
        ...

    async def children(self, path: str) -> list[str]:
        """Names, sorted."""
        ...


class Store(Reader, Protocol):
    """Every method raises StoreUnavailable when the store cannot be asked now, SessionLost when the session is over.

    A write that raised StoreUnavailable may have happened: read back before doing it again.
    NotFound, AlreadyExists and Changed have kind="record" and the path as name.
    """

    @property
    def lost(self) -> asyncio.Event:
        """Set once, when the session is lost or closed."""
        ...

    @property
    def revision(self) -> int:
        """How far this session has heard: every change up to it has rung, and whatever is read from now on has it.

        Grows with every change of the store, whoever makes it, and from one session to the next. A change that was
        answered is not beyond it. Raises StoreUnavailable.
        """
        ...

    async def sync(self) -> None:
        """Hear of every change that anybody was told of before the call."""
        ...

    async def ensure(self, path: str) -> None:
        """Make the empty record `path` and its parents where they are missing."""
        ...

    async def commit(self, *operations: Operation) -> None:
        """Do all operations, in order, or none. Raises what the first failed one is named for, with its path.

        Raises TooLarge (before anything is sent) when a value exceeds MAX_VALUE, or all of them together do.
        """
        ...

    def watch(self, *paths: str, children: Sequence[str] = ()) -> AbstractAsyncContextManager[Watch]:
        """Watch records by path (created, changed, deleted), and the lists of children of other paths.

        Nothing need exist yet. Entering returns when the watch is in place.
        """
        ...

    def follow(self) -> AbstractAsyncContextManager[Following]:
        """Read, and hear when what was read has changed."""
        ...

    def lock(self, name: str, holder: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock `name` in the whole cluster while the context lasts; ends with the session.

        name: no slash. holder: who, for people, as in `upload 3f2a`. Never waits:
        raises Busy(kind="lock", name=name, holder=<the present holder>).
        """
        ...

    async def locks(self) -> Mapping[str, str]:
        """Every lock that is held, with its holder.

        Where other processes have sessions too, `watch` of `paths.lock_path(name)` rings when one is taken or ends.
        """
        ...

    async def aclose(self) -> None:
        """End the session: its ephemerals and locks go at once. Safe to call twice."""
        ...


class Source(Protocol):
    """Opens sessions, any number at once: the API server and an agent in the same process each have one."""

    async def session(self) -> Store:
        """A new session. Raises StoreUnavailable, at the latest after a few seconds."""
        ...

    async def aclose(self) -> None:
        """End every session that is still open. Safe to call twice."""
        ...
