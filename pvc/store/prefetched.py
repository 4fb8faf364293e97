"""Records that were read in one go, for a decision that needs several: it waits for the store once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pvc.errors import NotFound
from pvc.store.base import Entry


@dataclass(frozen=True, slots=True)
class Prefetched:
    """A Reader of what was read; any other path is a mistake, and a KeyError.

    entries: None is what was not there. folders: with the names that count as all that is in them.
    """

    entries: Mapping[str, Entry | None]
    folders: Mapping[str, Collection[str]]

    async def get(self, path: str) -> Entry:
        entry = self._entry(path)
        if entry is None:
            raise NotFound(kind="record", name=path)
        return entry

    async def get_many(self, paths: Sequence[str]) -> list[Entry | None]:
        return [self._entry(path) for path in paths]

    async def children(self, path: str) -> list[str]:
        return sorted(self.folders[path])

    def _entry(self, path: str) -> Entry | None:
        if path not in self.entries and any(path.startswith(f"{folder}/") for folder in self.folders):
            return None
        return self.entries[path]
