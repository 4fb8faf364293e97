"""The configuration in memory, which lists are answered from. A bell wakes it; what rang is read again, nothing else.

A mirror lives and dies with one session. Reads wait until it has all that the session has heard of: whoever was told
of a change by this process finds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pvc.errors import NotFound, SessionLost, StoreUnavailable
from pvc.store.base import About, Entry, Following, Store, Topic

log = logging.getLogger("pvc.store")

# Seconds that a read waits for changes to be read again: as long as an answer of ZooKeeper may take.
_SETTLE_S = 10.0
# Seconds between two tries while the store is up and refuses.
_PAUSE_S = 0.2


@dataclass(slots=True)
class Changes:
    """What was read, by path; None is what was not there. lists: names below a path."""

    lists: dict[str, list[str] | None] = field(default_factory=dict)
    entries: dict[str, Entry | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of reading brought. paths: those whose entries may be others than before.

    since, until: revisions; every change up to the one is in `entries`, and none beyond the other.
    """

    paths: Collection[str]
    entries: Mapping[str, Entry]
    since: int
    until: int


Heard = Callable[[Round], None]


def _nobody(_round: Round) -> None:
    pass


class Tree:
    """Entries and lists of children, by path.

    folders: how many levels of records below a path belong to it. A record is there when it was read and its folder
    lists it: whichever of the two is read again first, nothing is shown that was not.
    """

    def __init__(self, folders: Mapping[str, int]) -> None:
        self.folders = folders
        self.entries: dict[str, Entry] = {}
        self.names: dict[str, dict[str, None]] = {}

    def is_folder(self, path: str) -> bool:
        """Whether records below `path` belong to the tree."""
        for folder, levels in self.folders.items():
            if path == folder or path.startswith(f"{folder}/"):
                return path.count("/") - folder.count("/") < levels
        return False

    def new(self, folder: str, changes: Changes) -> list[str]:
        """Paths in `folder`, as it was just read, that are not there as a whole.

        A folder's own list may have been read while it was away, between two lives, and then nothing rings for it.
        """
        paths = [f"{folder}/{name}" for name in changes.lists[folder] or ()]
        return [path for path in paths if path not in self.entries or not self._is_listed(path, changes)]

    def _is_listed(self, path: str, changes: Changes) -> bool:
        return not self.is_folder(path) or changes.lists.get(path, self.names.get(path)) is not None

    def apply(self, changes: Changes) -> set[str]:
        """Return the paths whose entries may be others than before."""
        touched = set(changes.entries)
        for folder, names in changes.lists.items():
            self._set_names(folder, names, touched)
        for path, entry in changes.entries.items():
            folder, _, name = path.rpartition("/")
            if entry is None or name not in self.names.get(folder, ()):
                self._forget(path, touched)
            else:
                self.entries[path] = entry
        return touched

    def _set_names(self, folder: str, names: Sequence[str] | None, touched: set[str]) -> None:
        now = dict.fromkeys(names or ())
        for name in self.names.get(folder, {}).keys() - now.keys():
            self._forget(f"{folder}/{name}", touched)
        self.names[folder] = now
        if names is None:
            del self.names[folder]

    def _forget(self, path: str, touched: set[str]) -> None:
        touched.add(path)
        self.entries.pop(path, None)
        for name in self.names.pop(path, ()):
            self._forget(f"{path}/{name}", touched)


class Mirror:
    """A Reader of the tree. rounds: grows whenever something in it may have changed. heard: told of each round."""

    def __init__(self, store: Store, following: Following, tree: Tree, heard: Heard = _nobody) -> None:
        self._store = store
        self._following = following
        self._tree = tree
        self._heard = heard
        self._reached = -1
        self._reading = False
        self._over = asyncio.Event()
        self.rounds = 0

    @property
    def folders(self) -> Collection[str]:
        return self._tree.folders.keys()

    async def get(self, path: str) -> Entry:
        if path not in self._tree.entries:
            raise NotFound(kind="record", name=path)
        return self._tree.entries[path]

    async def get_many(self, paths: Sequence[str]) -> list[Entry | None]:
        return [self._tree.entries.get(path) for path in paths]

    async def children(self, path: str) -> list[str]:
        if path not in self._tree.names:
            raise NotFound(kind="record", name=path)
        return list(self._tree.names[path])

    async def settled(self) -> int:
        """Wait until all that the session had heard of is here; return the revision that reads have now, at least.

        Raises StoreUnavailable.
        """
        wanted = self._store.revision
        try:
            async with asyncio.timeout(_SETTLE_S):
                while not self._has(wanted):
                    await self._over.wait()
                    _ = self._store.revision  # refuses while the store is away
        except TimeoutError as exc:
            reason = f"what changed in it could not be read within {_SETTLE_S:g} s"
            raise StoreUnavailable(reason=reason) from exc
        return max(wanted, self._reached)

    def _has(self, revision: int) -> bool:
        return self._reached >= revision or not (self._reading or self._following.rang)

    async def load(self) -> None:
        """Read everything. Raises StoreUnavailable."""
        await self._refresh(frozenset(Topic(About.CHILDREN, folder) for folder in self._tree.folders))

    async def keep(self) -> None:
        """Until the session ends. Raises SessionLost."""
        while True:
            due = await self._following.changed()
            try:
                await self._refresh(due)
            except SessionLost:
                raise
            except StoreUnavailable as exc:
                log.debug("Reading again what rang: %s", exc)
                self._following.again(due)
                await self._following.ready()
                await asyncio.sleep(_PAUSE_S)

    async def _refresh(self, due: frozenset[Topic]) -> None:
        """One round. What changed up to the revision at its beginning had rung by then: it is in `due`, or here."""
        self._reading = True
        try:
            reached = self._store.revision
            changes = await self._read(due)
            until = self._store.revision
            touched = self._tree.apply(changes)
            self._reached = reached
            self.rounds += 1
            self._heard(Round(touched, self._tree.entries, reached, until))
        finally:
            self._reading = False
            over, self._over = self._over, asyncio.Event()
            over.set()

    async def _read(self, due: Iterable[Topic]) -> Changes:
        """The lists first: what they have new is read with the rest."""
        changes = Changes()
        records = {topic.path for topic in due if topic.about is About.RECORD}
        folders = [topic.path for topic in due if topic.about is About.CHILDREN]
        while folders:
            changes.lists |= zip(folders, await self._following.lists(folders), strict=True)
            new = [path for folder in folders for path in self._tree.new(folder, changes)]
            records.update(new)
            folders = [path for path in new if self._tree.is_folder(path)]
        paths = sorted(records)
        changes.entries = dict(zip(paths, await self._following.entries(paths), strict=True))
        return changes


@asynccontextmanager
async def mirrored(store: Store, folders: Mapping[str, int], heard: Heard = _nobody) -> AsyncIterator[Mirror]:
    """A complete mirror, for its owner to `keep`. folders: see Tree; heard: see Mirror. Raises StoreUnavailable."""
    async with store.follow() as following:
        mirror = Mirror(store, following, Tree(folders), heard)
        await mirror.load()
        yield mirror
