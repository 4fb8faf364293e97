"""The folder of a directory pool. Everything here blocks: DirectoryPool puts it into threads and translates OSError.

NAME.raw                  volumes
.snapshots/NAME/SNAP.raw  snapshots, sparse copies
.incoming/                drafts, scratch space, copies being made; what is left there after a crash is dropped
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pvc.errors import AlreadyExists, Changed, NotFound
from pvc.model.names import problem_with
from pvc.storage.base import (
    Heard,
    Lock,
    Snapshot,
    Statistics,
    Usage,
    Volume,
    kept_by_snapshots,
    open_elsewhere,
    unheard,
    would_shrink,
)
from pvc.storage.checks import check_name, rounded_size
from pvc.storage.locks import is_locked, try_lock
from pvc.storage.place import Hidden, Place, is_abandoned, open_folder, problem_of
from pvc.storage.reading import FileReader
from pvc.storage.sparse import copy_file
from pvc.storage.threads import Copying

_SUFFIX = ".raw"
_INCOMING, _SNAPSHOTS = ".incoming", ".snapshots"
_RENAME = "rename."  # a link OLD/NEW in _INCOMING while a volume and its snapshots change their name

Version = tuple[int, int]  # inode and size: what a draft must find again on commit


class Folder:
    """Names are checked here once more: none leaves the folder. The caller makes one change of a volume at a time."""

    def __init__(self, pool: str, path: Path) -> None:
        self.pool, self.path = pool, path
        _make(path, 0o711)  # QEMU's user must reach the files that it is told of, and list nothing
        _make(path / _INCOMING, 0o700)
        _make(path / _SNAPSHOTS, 0o700)
        self._volumes = open_folder(str(path))
        self._incoming = open_folder(str(path / _INCOMING))
        self._snapshots = open_folder(str(path / _SNAPSHOTS))
        self._claims: set[str] = set()

    def close(self) -> None:
        for fd in (self._volumes, self._incoming, self._snapshots):
            os.close(fd)

    def place(self, name: str) -> Place:
        check_name("volume", name)
        return Place("volume", f"{self.pool}/{name}", self._volumes, name + _SUFFIX)

    def snapshot_place(self, volume: str, name: str) -> Place:
        check_name("volume", volume)
        check_name("snapshot", name)
        return Place("snapshot", f"{self.pool}/{volume}@{name}", self._snapshots, f"{volume}/{name}{_SUFFIX}")

    def hidden(self, stem: str) -> Hidden:
        return Hidden(self._incoming, self.path / _INCOMING, stem)

    def usage(self) -> Usage:
        fs = os.fstatvfs(self._volumes)
        unit = fs.f_frsize
        return Usage(total=fs.f_blocks * unit, used=(fs.f_blocks - fs.f_bfree) * unit, free=fs.f_bavail * unit)

    def statistics(self) -> Statistics:
        usage = self.usage()
        return Statistics(usage, volumes=len(self.volume_names()), raw_used=usage.used)

    def volumes(self) -> list[Volume]:
        found = (self._listed(name) for name in self.volume_names())
        return [volume for volume in found if volume is not None]

    def volume_names(self) -> list[str]:
        files = (file for file in os.listdir(self._volumes) if file.endswith(_SUFFIX) and not file.startswith("."))
        return sorted(file.removesuffix(_SUFFIX) for file in files)

    def volume(self, name: str) -> Volume:
        place = self.place(name)
        try:
            info = os.stat(place.file, dir_fd=place.folder, follow_symlinks=False)
        except FileNotFoundError as exc:
            raise place.not_found() from exc
        return Volume(
            name=name,
            size=info.st_size,
            used=info.st_blocks * 512,
            snapshots=len(self._snapshot_names(name)),
            modified_at=info.st_mtime,
            problem=problem_of(info),
        )

    def is_open(self, name: str) -> bool:
        place = self.place(name)
        with place.opened(os.O_RDONLY) as fd:
            return is_locked(fd) and place.name not in self._claims

    def locks(self, volume: str) -> list[Lock]:
        """A lock on a file ends with the process that has it, and the file is on this machine alone."""
        self.volume(volume)
        return []

    break_locks = locks

    def version(self, name: str) -> Version:
        """Raises NotFound, InUse."""
        with self._claimed(self.place(name)) as fd:
            return _version(fd)

    def create(self, name: str, size: int) -> Volume:
        self.place(name).create(self._rounded(size))
        return self.volume(name)

    def resize(self, name: str, size: int, shrink: bool) -> Volume:
        place, size = self.place(name), self._rounded(size)
        with self._claimed(place) as fd:
            now = os.fstat(fd).st_size
            if size < now and not shrink:
                raise would_shrink(place.name, now, size)
            os.ftruncate(fd, size)
            os.fsync(fd)
        return self.volume(name)

    def rename(self, name: str, new_name: str) -> None:
        self.place(new_name).must_be_free()
        note = _RENAME + secrets.token_hex(8)
        with self._claimed(self.place(name)):
            os.symlink(f"{name}/{new_name}", note, dir_fd=self._incoming)
            try:
                self._move(name, new_name)
            finally:
                os.unlink(note, dir_fd=self._incoming)

    def remove(self, name: str, heard: Heard = unheard) -> None:
        place = self.place(name)
        with self._claimed(place):
            if count := len(self._snapshot_names(name)):
                raise kept_by_snapshots(place.name, count)
            place.remove()

    def clone(self, name: str, new_name: str, copying: Copying) -> Volume:
        target = self.place(new_name)
        target.must_be_free()
        with self._copied(self.place(name), copying) as hidden:
            hidden.put(target)
        return self.volume(new_name)

    def replace(self, name: str, hidden: Hidden, began: Version | None = None) -> None:
        """Make `hidden` the volume, with the owner and mode that it has. began: refuse when it is not that any more."""
        place = self.place(name)
        os.fsync(hidden.fd)  # the long wait, before the volume is claimed
        with self._claimed(place) as fd:
            if began is not None and began != _version(fd):
                raise Changed(kind=place.kind, name=place.name)
            old = os.fstat(fd)
            os.fchown(hidden.fd, old.st_uid, old.st_gid)
            os.fchmod(hidden.fd, stat.S_IMODE(old.st_mode))
            hidden.put(place)

    def snapshots(self, volume: str) -> list[Snapshot]:
        self.volume(volume)
        return [self._snapshot(volume, name) for name in self._snapshot_names(volume)]

    def snapshot(self, volume: str, name: str, copying: Copying) -> Snapshot:
        target = self.snapshot_place(volume, name)
        target.must_be_free()
        with self._copied(self.place(volume), copying) as hidden:
            with suppress(FileExistsError):
                os.mkdir(volume, 0o700, dir_fd=self._snapshots)
            hidden.put(target)
        return self._snapshot(volume, name)

    def rename_snapshot(self, volume: str, name: str, new_name: str) -> None:
        place, target = self.snapshot_place(volume, name), self.snapshot_place(volume, new_name)
        with place.opened(os.O_RDONLY):
            target.must_be_free()
            place.move(target)

    def remove_snapshot(self, volume: str, name: str) -> None:
        place = self.snapshot_place(volume, name)
        with place.opened(os.O_RDONLY):
            place.remove()
        if not self._snapshot_names(volume):
            os.rmdir(volume, dir_fd=self._snapshots)

    def roll_back(self, volume: str, name: str, copying: Copying) -> None:
        self.version(volume)  # refuses before anything is copied
        with self._copied(self.snapshot_place(volume, name), copying) as hidden:
            self.replace(volume, hidden)

    def reader(self, volume: str, snapshot: str) -> FileReader:
        with self.snapshot_place(volume, snapshot).opened(os.O_RDONLY) as fd:
            return FileReader(fd)

    def unfinished(self) -> dict[str, str]:
        return dict.fromkeys(os.listdir(self._incoming), "")

    def remove_orphans(self, among: Collection[str] | None) -> list[str]:
        """Drop the files that dead processes left, and finish their renames."""
        dropped = []
        for file in sorted(os.listdir(self._incoming)):
            if among is not None and file not in among:
                continue
            kind = os.stat(file, dir_fd=self._incoming, follow_symlinks=False).st_mode
            if stat.S_ISLNK(kind) and file.startswith(_RENAME):
                name, _, new_name = os.readlink(file, dir_fd=self._incoming).partition("/")
                self._move(name, new_name)
            elif stat.S_ISREG(kind) and is_abandoned(self._incoming, file):
                dropped.append(file)
            else:
                continue
            os.unlink(file, dir_fd=self._incoming)
        return dropped

    def _listed(self, name: str) -> Volume | None:
        """The volume, with its problem if it has one; None when it was removed meanwhile."""
        if problem := problem_with("volume", name):
            return Volume(name=name, size=0, used=None, problem=f"its name {problem}")
        try:
            return self.volume(name)
        except NotFound:
            return None
        except OSError as exc:
            return Volume(name=name, size=0, used=None, problem=exc.strerror or str(exc))

    def _snapshot_names(self, volume: str) -> list[str]:
        try:
            fd = open_folder(volume, self._snapshots)
        except FileNotFoundError:
            return []
        try:
            return sorted(file.removesuffix(_SUFFIX) for file in os.listdir(fd) if file.endswith(_SUFFIX))
        finally:
            os.close(fd)

    def _snapshot(self, volume: str, name: str) -> Snapshot:
        with self.snapshot_place(volume, name).opened(os.O_RDONLY) as fd:
            info = os.fstat(fd)
        return Snapshot(volume=volume, name=name, size=info.st_size, created_at=info.st_mtime)

    @contextmanager
    def _claimed(self, place: Place) -> Iterator[int]:
        """Open the file and keep every QEMU away from it. Raises NotFound, InUse."""
        with place.opened(os.O_RDWR) as fd:
            if not try_lock(fd):
                raise open_elsewhere(place.name, shared=False, kind=place.kind)
            self._claims.add(place.name)
            try:
                yield fd
            finally:
                self._claims.discard(place.name)

    @contextmanager
    def _copied(self, source: Place, copying: Copying) -> Iterator[Hidden]:
        """A hidden copy of `source`, which is claimed meanwhile; dropped at the end unless it was put in place."""
        hidden = self.hidden("copy")
        with self._claimed(source) as fd:
            try:
                hidden.create()
                copy_file(fd, hidden.fd, copying)
                yield hidden
            finally:
                hidden.drop()

    def _move(self, name: str, new_name: str) -> None:
        """Rename a volume and its snapshots, or what of it is not done yet and can be done."""
        self._move_snapshots(name, new_name)
        try:
            with suppress(NotFound, AlreadyExists), self.place(name).opened(os.O_RDONLY):
                self.place(new_name).must_be_free()
                self.place(name).move(self.place(new_name))
        except OSError:
            self._move_snapshots(new_name, name)
            raise

    def _move_snapshots(self, name: str, new_name: str) -> None:
        with suppress(FileNotFoundError):
            os.rename(name, new_name, src_dir_fd=self._snapshots, dst_dir_fd=self._snapshots)

    def _rounded(self, size: int) -> int:
        return rounded_size(size, self.pool, self.usage().total)


def _version(fd: int) -> Version:
    info = os.fstat(fd)
    return info.st_ino, info.st_size


def _make(path: Path, mode: int) -> None:
    """Make the folder and its parents; an existing one keeps its mode and is given what of `mode` it lacks."""
    if not path.is_dir():
        path.mkdir(parents=True)
        path.chmod(mode)
    elif (now := path.stat().st_mode) & mode != mode:
        path.chmod(stat.S_IMODE(now) | mode)
