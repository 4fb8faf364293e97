"""The images of a Ceph pool, as volumes and what is not one yet. Everything here blocks; RBDPool puts it into threads.

Which images there are beside the volumes is in rbdhidden.py.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

from pvc.errors import AlreadyExists, Changed, Conflict, InUse, NotFound, PoolFull, PVCError
from pvc.model.names import problem_with
from pvc.storage import base
from pvc.storage.base import Heard, Lock, Snapshot, Statistics, Usage, Volume, unheard
from pvc.storage.ceph import (
    OBJECT_BYTES,
    Cluster,
    Image,
    about,
    ceph_errors,
    extents,
    lock,
    lockers_of,
    note_of,
    snapshots_of,
    times_of,
    used_bytes,
)
from pvc.storage.checks import check_name, rounded_size
from pvc.storage.rbdhidden import HIDDEN, Hidden, asides, new_name, volume_of
from pvc.storage.rbdreading import SnapshotReader
from pvc.storage.threads import Copying
from pvc.units import GIB

_UNDO = HIDDEN + "undo"  # the snapshot that a volume is set back to when new content could not be put in place
_CONTENT = "pvc.content"  # note on an image whose content was replaced as a whole: random, new each time
_AWAY = "its content is being replaced, or that was cut off; pvc brings it back"
_LOOKS_AT_ONCE = 8
_DISCARD_BYTES = GIB

Version = tuple[str, int, str]  # id, size, content: what a draft must find again on commit


class Images:
    """Names are checked here once more. The caller makes one change of a volume at a time."""

    def __init__(self, cluster: Cluster, now: Callable[[], float] = time.monotonic) -> None:
        self.cluster, self.pool = cluster, cluster.pool
        self._now = now
        self._looks = ThreadPoolExecutor(_LOOKS_AT_ONCE, f"looks-{self.pool}")
        self._seen: dict[str, tuple[float, Volume]] = {}  # by id: when, and what was seen

    def close(self) -> None:
        self._looks.shutdown()
        self.cluster.close()

    def hidden(self, volume: str) -> Hidden:
        return Hidden(self.cluster, volume)

    def usage(self) -> Usage:
        return self.cluster.usage()

    def statistics(self) -> Statistics:
        names = self.cluster.names()
        shown = {name for name in names if not name.startswith(HIDDEN)} | set(asides(names).values())
        return self.cluster.statistics(volumes=len(shown))

    def volumes(self) -> list[Volume]:
        """Names are true now; sizes and usage may be as old as the configuration allows."""
        names = self.cluster.names()
        self._forget_all_but(set(names.values()))
        shown = {name: id_ for name, id_ in names.items() if not name.startswith(HIDDEN)}
        found = self._looks.map(lambda name: self._listed(name, shown[name]), shown)
        away = [Volume(name, 0, None, problem=_AWAY) for name in asides(names).values() if name not in shown]
        return sorted([*(volume for volume in found if volume), *away], key=lambda volume: volume.name)

    def volume_names(self) -> list[str]:
        names = self.cluster.names()
        return [name for name in {*names, *asides(names).values()} if not name.startswith(HIDDEN)]

    def volume(self, name: str) -> Volume:
        with self._opened(name) as image:
            return self._look(name, image)

    def is_open(self, name: str) -> bool:
        with self._opened(name) as image:
            return self.cluster.is_watched(image)

    def locks(self, volume: str) -> list[Lock]:
        with self._opened(volume) as image:
            return [Lock(volume, owner, address) for owner, _, address in lockers_of(image)]

    def break_locks(self, volume: str) -> list[Lock]:
        with self._opened(volume, writable=True) as image:
            self._check_unwatched(volume, image)
            found = lockers_of(image)
            for owner, cookie, _ in found:
                with about("lock", self._full(volume)):
                    image.break_lock(owner, cookie)
        return [Lock(volume, owner, address) for owner, _, address in found]

    def version(self, name: str) -> Version:
        """Raises NotFound, InUse."""
        with self._claimed(name) as image:
            return _version(image)

    def create(self, name: str, size: int) -> Volume:
        check_name("volume", name)
        size = self._rounded(size)
        self._check_free(name)
        with about("volume", self._full(name)):
            self.cluster.create(name, size)
        return self.volume(name)

    def resize(self, name: str, size: int, shrink: bool) -> Volume:
        check_name("volume", name)
        size = self._rounded(size)
        with self._claimed(name) as image:
            now = image.size()
            if size < now and not shrink:
                raise base.would_shrink(self._full(name), now, size)
            image.resize(size, True)
        return self.volume(name)

    def rename(self, name: str, new_name: str) -> None:
        check_name("volume", new_name)
        with self._claimed(name):
            self._check_free(new_name)
            with about("volume", self._full(new_name)):
                self.cluster.rename(name, new_name)

    def remove(self, name: str, heard: Heard = unheard) -> None:
        gone = new_name("gone", name)  # removing takes long, and half a volume is none
        with self._claimed(name) as image:
            size = image.size()
            if count := len(_snapshots(image)):
                raise base.kept_by_snapshots(self._full(name), count)
            try:
                with ceph_errors(self.pool), self._moved_aside(name, gone, image):
                    pass
            except PoolFull:
                gone = name  # a full pool lets images go, but writes no new name
        with suppress(NotFound), about("volume", self._full(name)):
            self.cluster.remove(gone, partial(_tell, heard, size))

    def clone(self, name: str, new_name: str, copying: Copying) -> Volume:
        check_name("volume", new_name)
        hidden = self.hidden(name)
        try:
            with self._claimed(name) as image:
                self._check_free(new_name)
                hidden.create(image.size())
                self._copy(image, hidden.image, copying)
            with about("volume", self._full(new_name)):
                hidden.put(new_name)
        finally:
            hidden.drop()
        return self.volume(new_name)

    def replace(self, name: str, hidden: Hidden, began: Version) -> str:
        """Make what is in `hidden` the volume's content. Raises Changed when the volume is not as it was then.

        Returns the image that has the old content, to be removed; "" where there is none.
        """
        hidden.image.flush()
        with self._claimed(name) as image:
            if began != _version(image):
                raise Changed(kind="volume", name=self._full(name))
            aside = new_name("old", name)
            if snapshots_of(image):
                self._put_into(name, aside, image, hidden)
                return ""
            for key, value in image.metadata_list():
                hidden.image.metadata_set(key, value)
            with self._moved_aside(name, aside, image):
                hidden.put(name)
        return aside

    def snapshots(self, volume: str) -> list[Snapshot]:
        with self._opened(volume) as image:
            return [Snapshot(volume, name, size, created) for name, size, created in _snapshots(image)]

    def snapshot(self, volume: str, name: str, copying: Copying) -> Snapshot:
        """Of a running guest too: as its disk would be if the power failed."""
        check_name("snapshot", name)
        with self._opened(volume, writable=True) as image, about("snapshot", self._full(volume, name)):
            image.create_snap(name)
        return next(snapshot for snapshot in self.snapshots(volume) if snapshot.name == name)

    def rename_snapshot(self, volume: str, name: str, new_name: str) -> None:
        check_name("snapshot", new_name)
        with self._with_snapshot(volume, name) as image, about("snapshot", self._full(volume, new_name)):
            image.rename_snap(name, new_name)

    def remove_snapshot(self, volume: str, name: str) -> None:
        with self._with_snapshot(volume, name) as image:
            try:
                with about("snapshot", self._full(volume, name)):
                    if image.is_protected_snap(name):
                        image.unprotect_snap(name)
                    image.remove_snap(name)
            except InUse as exc:
                problem = "has clones that still need it"
                raise Conflict(kind="snapshot", name=self._full(volume, name), problem=problem) from exc

    def roll_back(self, volume: str, name: str, copying: Copying) -> None:
        """Cannot be stopped: half of it would be no content at all."""
        with self._with_snapshot(volume, name):
            pass
        with self._claimed(volume) as image:
            image.rollback_to_snap(name)
            _stamp(image)

    def reader(self, volume: str, snapshot: str) -> SnapshotReader:
        with self._with_snapshot(volume, snapshot):
            pass
        with about("snapshot", self._full(volume, snapshot)):
            return SnapshotReader(self.cluster.open(volume, snapshot=snapshot))

    def unfinished(self) -> dict[str, str]:
        return {name: volume_of(name) for name in self.cluster.names() if name.startswith(HIDDEN)}

    def remove_orphans(self, among: Collection[str] | None) -> list[str]:
        """Drop what dead processes left, once Ceph knows that they are dead, and undo what they had not finished."""
        names = self.cluster.names()
        hidden = sorted(name for name in names if name.startswith(HIDDEN))
        return [name for name in hidden if (among is None or name in among) and self._settled(name, names)]

    def drop(self, name: str) -> bool:
        """Remove what has a hidden name; what cannot go now is left for remove_orphans."""
        with suppress(NotFound, InUse), about("image", name):
            self.cluster.remove(name)
            return True
        return False

    def _settled(self, name: str, names: dict[str, str]) -> bool:
        try:
            with about("image", name), self.cluster.open(name) as image:
                if list(image.watchers_list()):
                    return False
        except NotFound:
            return False
        volume = asides([name]).get(name)
        if volume is None or volume in names:
            return self.drop(name)
        with self.cluster.open(name, writable=True) as image:
            self._bring_back(volume, name, image)
        return True

    def _put_into(self, name: str, aside: str, image: Image, hidden: Hidden) -> None:
        """Copy, because the snapshots are the image's own: it cannot be exchanged for another."""
        with self._moved_aside(name, aside, image):
            image.create_snap(_UNDO)
            for offset in range(0, image.size(), _DISCARD_BYTES):
                image.discard(offset, min(_DISCARD_BYTES, image.size() - offset))
            self._copy(hidden.image, image, Copying())
            _stamp(image)
            image.remove_snap(_UNDO)
            self.cluster.rename(aside, name)

    def _bring_back(self, name: str, aside: str, image: Image) -> None:
        """Undo what was begun with a volume that was moved aside; while that fails, no guest finds half of it."""
        if any(found == _UNDO for found, _, _ in snapshots_of(image)):
            image.rollback_to_snap(_UNDO)
            image.remove_snap(_UNDO)
        with suppress(NotFound, AlreadyExists), about("volume", self._full(name)):
            self.cluster.rename(aside, name)

    def _copy(self, source: Image, target: Image, copying: Copying) -> None:
        """Raises Stopped."""
        writer, found = self.cluster.writer(target), extents(source)
        done, total = 0, sum(length for _, length in found)
        try:
            for offset, length in found:
                for start in range(offset, offset + length, OBJECT_BYTES):
                    copying.goes_on(done, total)
                    data = source.read(start, min(OBJECT_BYTES, offset + length - start))
                    writer.put(data, start)
                    done += len(data)
        finally:
            writer.settle()
        writer.check()
        target.flush()
        copying.heard(done, total)

    @contextmanager
    def _opened(self, name: str, *, writable: bool = False, kind: str = "volume", full: str = "") -> Iterator[Image]:
        """kind, full: what is missing when the image is. Raises NotFound."""
        check_name("volume", name)
        with about(kind, full or self._full(name)):
            image = self.cluster.open(name, writable=writable)
        try:
            yield image
        finally:
            if writable:
                self._seen.pop(image.id(), None)
            image.close()

    @contextmanager
    def _with_snapshot(self, volume: str, name: str) -> Iterator[Image]:
        check_name("snapshot", name)
        full = self._full(volume, name)
        with self._opened(volume, writable=True, kind="snapshot", full=full) as image:
            if not any(found == name for found, _, _ in snapshots_of(image)):
                raise NotFound(kind="snapshot", name=full)
            yield image

    @contextmanager
    def _claimed(self, name: str) -> Iterator[Image]:
        """The image, open and locked: a guest that opens it now writes nothing. Raises NotFound, InUse."""
        with self._opened(name, writable=True) as image:
            self._check_unwatched(name, image)
            if not lock(image):
                raise InUse(kind="volume", name=self._full(name), user="another program")
            yield image

    def _check_unwatched(self, name: str, image: Image) -> None:
        if self.cluster.is_watched(image):
            raise base.open_elsewhere(self._full(name), shared=True)

    @contextmanager
    def _moved_aside(self, name: str, aside: str, image: Image) -> Iterator[None]:
        """The claimed volume under another name, where no guest finds it; brought back when the context fails."""
        try:
            self.cluster.rename(name, aside)
            self._check_unwatched(name, image)  # who found it before
            yield
        except BaseException:
            self._bring_back(name, aside, image)
            raise

    def _listed(self, name: str, id_: str) -> Volume | None:
        """The volume, with its problem if it has one; None when it was removed meanwhile."""
        if problem := problem_with("volume", name):
            return Volume(name=name, size=0, used=None, problem=f"its name {problem}")
        seen = self._seen.get(id_)
        if seen and seen[1].name == name and self._now() - seen[0] < self.cluster.settings.list_age_s:
            return seen[1]
        try:
            with ceph_errors(self.pool), self._opened(name) as image:
                return self._look(name, image)
        except NotFound:
            return None
        except PVCError as exc:
            return Volume(name=name, size=0, used=None, problem=str(exc))

    def _look(self, name: str, image: Image) -> Volume:
        created_at, modified_at = times_of(image)
        volume = Volume(
            name=name,
            size=image.size(),
            used=used_bytes(image),
            snapshots=len(_snapshots(image)),
            created_at=created_at,
            modified_at=modified_at,
        )
        self._seen[image.id()] = self._now(), volume
        return volume

    def _forget_all_but(self, ids: set[str]) -> None:
        for id_ in set(self._seen) - ids:
            self._seen.pop(id_, None)

    def _check_free(self, name: str) -> None:
        names = self.cluster.names()
        if name in names or name in asides(names).values():
            raise AlreadyExists(kind="volume", name=self._full(name))

    def _rounded(self, size: int) -> int:
        return rounded_size(size, self.pool, self.usage().total)

    def _full(self, volume: str, snapshot: str = "") -> str:
        return f"{self.pool}/{volume}@{snapshot}" if snapshot else f"{self.pool}/{volume}"


def _snapshots(image: Image) -> list[tuple[str, int, float]]:
    """By name: (name, size, time)."""
    return sorted(snapshot for snapshot in snapshots_of(image) if not snapshot[0].startswith(HIDDEN))


def _tell(heard: Heard, size: int, done: int, total: int) -> int:
    """Objects that are gone, as bytes of a volume; 0, for librbd to go on."""
    heard(size * done // max(total, 1), size)
    return 0


def _version(image: Image) -> Version:
    return image.id(), image.size(), note_of(image, _CONTENT)


def _stamp(image: Image) -> None:
    image.metadata_set(_CONTENT, secrets.token_hex(8))
