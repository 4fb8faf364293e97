"""Files at named and hidden places of a pool's folder; links are never followed. Everything here blocks."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pvc.errors import AlreadyExists, Conflict, NotFound

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EXISTING = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # the last, because opening a pipe would wait for its writer
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LINK, _NOT_A_FILE = "is a symbolic link, which is not followed", "is not a regular file"
_OPEN_PROBLEMS = {errno.ELOOP: _LINK, errno.EISDIR: _NOT_A_FILE, errno.ENXIO: _NOT_A_FILE}


@dataclass(frozen=True, slots=True)
class Place:
    """A volume or snapshot, whether or not it exists. name: as people know it; file: in the folder open as `folder`."""

    kind: str
    name: str
    folder: int
    file: str

    def not_found(self) -> NotFound:
        return NotFound(kind=self.kind, name=self.name)

    def already_exists(self) -> AlreadyExists:
        return AlreadyExists(kind=self.kind, name=self.name)

    def conflict(self, problem: str) -> Conflict:
        return Conflict(kind=self.kind, name=self.name, problem=problem)

    def must_be_free(self) -> None:
        with suppress(FileNotFoundError):
            os.stat(self.file, dir_fd=self.folder, follow_symlinks=False)
            raise self.already_exists()

    @contextmanager
    def opened(self, mode: int) -> Iterator[int]:
        """mode: os.O_RDONLY or os.O_RDWR. Raises NotFound, Conflict for what is not a regular file."""
        try:
            fd = os.open(self.file, mode | _EXISTING, dir_fd=self.folder)
        except FileNotFoundError as exc:
            raise self.not_found() from exc
        except OSError as exc:
            if problem := _OPEN_PROBLEMS.get(exc.errno or 0):
                raise self.conflict(problem) from exc
            raise
        try:
            if problem := problem_of(os.fstat(fd)):
                raise self.conflict(problem)
            yield fd
        finally:
            os.close(fd)

    def create(self, size: int) -> None:
        """Make an empty sparse file, durable. Raises AlreadyExists."""
        try:
            fd = os.open(self.file, _NEW, 0o600, dir_fd=self.folder)
        except FileExistsError as exc:
            raise self.already_exists() from exc
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
            self.sync()
        except OSError:
            os.unlink(self.file, dir_fd=self.folder)
            raise
        finally:
            os.close(fd)

    def remove(self) -> None:
        os.unlink(self.file, dir_fd=self.folder)
        self.sync()

    def move(self, target: Place) -> None:
        os.rename(self.file, target.file, src_dir_fd=self.folder, dst_dir_fd=target.folder)
        target.sync()

    def sync(self) -> None:
        """Make the name durable."""
        fd = open_folder(os.path.dirname(self.file) or ".", self.folder)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class Hidden:
    """A file to be: created, filled, then put in place or dropped. Locked (flock) as long as its process lives."""

    def __init__(self, folder: int, path: Path, stem: str) -> None:
        """folder: `path`, open."""
        self.folder = folder
        self.file = f"{stem}.{secrets.token_hex(8)}"
        self.path = str(path / self.file)
        self.fd = -1

    def create(self) -> None:
        self.fd = os.open(self.file, _NEW, 0o600, dir_fd=self.folder)
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def put(self, target: Place) -> None:
        """Replaces what is there."""
        os.fsync(self.fd)
        os.rename(self.file, target.file, src_dir_fd=self.folder, dst_dir_fd=target.folder)
        target.sync()

    def drop(self) -> None:
        """Remove it, unless it was put in place; may be called at any time."""
        with suppress(FileNotFoundError):
            os.unlink(self.file, dir_fd=self.folder)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def problem_of(info: os.stat_result) -> str:
    """Say why the file cannot be a volume, empty when it can."""
    if stat.S_ISLNK(info.st_mode):
        return _LINK
    return "" if stat.S_ISREG(info.st_mode) else _NOT_A_FILE


def open_folder(path: str, parent: int | None = None) -> int:
    return os.open(path, _FOLDER, dir_fd=parent)


def is_abandoned(folder: int, file: str) -> bool:
    """Whether the hidden file belongs to no living process."""
    fd = os.open(file, os.O_RDONLY | _EXISTING, dir_fd=folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
