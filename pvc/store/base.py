"""Where cluster state is kept, whatever keeps it: one Protocol, one contract suite (tests/contract/store).

A store is a tree of small values by path ("/vms/ID"), each with a version that begins at 0 and grows by one with
every write. One Store object is one session: when the session is lost its locks and ephemerals are gone, every call
raises SessionLost, and the owner opens a new Store, reads again, then decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

# A ZooKeeper server drops a connection that sends more than 1 MiB (jute.maxbuffer), silently. The rest is for paths.
MAX_VALUE = 1_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Create:
    """Fails with AlreadyExists, or NotFound when the parent is missing (parents are made by `ensure` only)."""

    path: str
    value: bytes = b""
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """Fails with Changed unless the stored version is `version`."""

    path: str
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Fails with Changed unless the stored version is `version`; Conflict when it has children."""

    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Check:
    """Fails with Changed unless the stored version is `version`."""

    path: str
    version: int


Operation = Create | Put | Delete | Check


class Watch(Protocol):
    """A bell, not a messenger: it says that something may have changed, never what."""

    async def wait(self) -> None:
        """Return when anything watched may have changed since the last `wait` returned (or since the watch began).

        Never misses a change; may ring once too often. Raises SessionLost.
        """
        ...


class Store(Protocol):
    """Every method raises StoreUnavailable when the store cannot be asked now, SessionLost when the session is over.

    A write that raised StoreUnavailable may have happened: read back before doing it again.
    NotFound, AlreadyExists and Changed have kind="record" and the path as name.
    """

    @property
    def lost(self) -> asyncio.Event:
        """Set once, when the session is lost or closed."""
        ...

    async def get(self, path: str) -> Entry: ...

    async def get_many(self, paths: Sequence[str]) -> list[Entry | None]:
        """Read many records at once, None for each that does not exist; not one consistent moment."""
        ...

    async def children(self, path: str) -> list[str]:
        """Names, sorted. Raises NotFound."""
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

    def lock(self, name: str, holder: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock `name` in the whole cluster while the context lasts; ends with the session.

        name: no slash. holder: who, for people, as in `upload 3f2a`. Never waits:
        raises Busy(kind="lock", name=name, holder=<the present holder>).
        """
        ...

    async def aclose(self) -> None:
        """End the session: its ephemerals and locks go at once. Safe to call twice."""
        ...
