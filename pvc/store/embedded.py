"""The store of one machine: one SQLite file, used by one process. The only module that knows of sqlite3.

All SQL runs on one worker thread, so changes have one order; watches and locks live in the process's memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from pvc.errors import AlreadyExists, Busy, Changed, Conflict, NotFound, SessionLost, StoreLocked, StoreUnavailable
from pvc.store.base import Check, Create, Delete, Entry, Following, Operation, Put, Topic, Watch, refuse_too_large
from pvc.store.bells import Bells, topics, touched
from pvc.store.following import BellFollowing

# Marks the file as ours ("pvc" in ASCII), so that another program's database is never written to.
_APPLICATION = 0x00707663
_LAYOUT = 1

_TABLE = """
CREATE TABLE record (
    parent TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,
    owner INTEGER,  -- the session that an ephemeral record ends with
    PRIMARY KEY (parent, name)
)"""

# One row; kept, so that a revision that somebody was told stays one of the past.
_REVISION = "CREATE TABLE IF NOT EXISTS revision (number INTEGER NOT NULL)"
_FIRST_REVISION = "INSERT INTO revision SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM revision)"

_T = TypeVar("_T")


class EmbeddedSource:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._numbers = itertools.count(1)

    @classmethod
    async def open(cls, path: str) -> Self:
        """Raises StoreLocked when another process has it open, StoreUnavailable, Conflict for a newer pvc's file."""
        return cls(await _Engine.open(path))

    async def session(self) -> EmbeddedStore:
        return EmbeddedStore(self._engine, next(self._numbers))

    async def aclose(self) -> None:
        await self._engine.aclose()


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    session: EmbeddedStore
    holder: str


class EmbeddedStore:
    """A session; `lost` only when it is closed, by its owner or with its source."""

    def __init__(self, engine: _Engine, number: int) -> None:
        self._engine = engine
        self._number = number
        self._lost = asyncio.Event()
        self.bells = Bells()
        engine.admit(self)

    @property
    def lost(self) -> asyncio.Event:
        return self._lost

    async def get(self, path: str) -> Entry:
        [entry] = await self.get_many([path])
        if entry is None:
            raise NotFound(kind="record", name=path)
        return entry

    async def get_many(self, paths: Sequence[str]) -> list[Entry | None]:
        return await self._run(_read, list(paths))

    async def children(self, path: str) -> list[str]:
        return await self._run(_children, path)

    @property
    def revision(self) -> int:
        self._refuse_if_over()
        return self._engine.revision

    async def sync(self) -> None:
        """Nothing to do: whoever was told of a change was told after all bells."""
        self._refuse_if_over()

    async def ensure(self, path: str) -> None:
        await self._run(self._engine.change, _ensure, path)

    async def commit(self, *operations: Operation) -> None:
        refuse_too_large(operations)
        await self._run(self._engine.change, _apply_all, operations, self._number)

    @asynccontextmanager
    async def watch(self, *paths: str, children: Sequence[str] = ()) -> AsyncIterator[Watch]:
        self._refuse_if_over()
        with self.bells.hung(topics(paths, children)) as bell:
            yield bell

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[Following]:
        self._refuse_if_over()
        with self.bells.hung() as bell:
            yield BellFollowing(self.bells, bell, entries=self.get_many, lists=self._lists, ready=self.sync)

    async def _lists(self, paths: Sequence[str]) -> list[list[str] | None]:
        return await self._run(_lists, list(paths))

    @asynccontextmanager
    async def lock(self, name: str, holder: str) -> AsyncIterator[None]:
        self._refuse_if_over()
        locks = self._engine.locks
        if name in locks:
            raise Busy(kind="lock", name=name, holder=locks[name].holder)
        mine = locks[name] = _Held(self, holder)
        try:
            yield
        finally:
            if locks.get(name) is mine:
                del locks[name]

    async def locks(self) -> dict[str, str]:
        self._refuse_if_over()
        return {name: held.holder for name, held in self._engine.locks.items()}

    async def aclose(self) -> None:
        """Raises StoreUnavailable when the disk refuses: then the ephemerals go at the next start."""
        if not self._lost.is_set():
            self.end()
            await self._engine.run(self._engine.change, _wipe, self._number)

    def end(self) -> None:
        self._lost.set()
        self.bells.end(_CLOSED)
        self._engine.dismiss(self)

    async def _run(self, work: Callable[..., _T], *args: object) -> _T:
        self._refuse_if_over()
        return await self._engine.run(work, *args)

    def _refuse_if_over(self) -> None:
        if self._lost.is_set():
            raise SessionLost(reason=_CLOSED)


_CLOSED = "its session is closed"


class _Engine:
    """The open file, and what all sessions of this process share."""

    def __init__(self, db: sqlite3.Connection, worker: ThreadPoolExecutor, lock: int, revision: int) -> None:
        self._db = db
        self._worker = worker
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._sessions: set[EmbeddedStore] = set()
        self._closed = False
        self.revision = revision
        self.locks: dict[str, _Held] = {}

    @classmethod
    async def open(cls, path: str) -> Self:
        worker = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            db, lock, revision = await asyncio.get_running_loop().run_in_executor(worker, _open, path)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        return cls(db, worker, lock, revision)

    async def aclose(self) -> None:
        """Ephemerals stay in the file until it is opened again, which wipes them."""
        if self._closed:
            return
        self._closed = True
        for session in list(self._sessions):
            session.end()
        await self.run(sqlite3.Connection.close)
        os.close(self._lock)
        self._worker.shutdown(wait=False)

    def admit(self, session: EmbeddedStore) -> None:
        if self._closed:
            raise StoreUnavailable(reason="it is closed")
        self._sessions.add(session)

    def dismiss(self, session: EmbeddedStore) -> None:
        self._sessions.discard(session)
        for name in [name for name, held in self.locks.items() if held.session is session]:
            del self.locks[name]

    async def run(self, work: Callable[..., _T], *args: object) -> _T:
        try:
            return await self._loop.run_in_executor(self._worker, work, self._db, *args)
        except sqlite3.Error as exc:
            raise StoreUnavailable(reason=str(exc)) from exc

    def change(self, db: sqlite3.Connection, work: Callable[..., Iterable[Topic]], *args: object) -> None:
        """On the worker: one transaction, then the bells, also when who asked for it has stopped waiting."""
        with _transaction(db):
            rang = frozenset(work(db, *args))
            revision = _next_revision(db) if rang else 0
        self._loop.call_soon_threadsafe(self._ring, rang, revision)

    def _ring(self, rang: frozenset[Topic], revision: int) -> None:
        self.revision = max(self.revision, revision)
        for session in self._sessions:
            session.bells.ring(rang)


def _open(path: str) -> tuple[sqlite3.Connection, int, int]:
    """The open file, the descriptor that locks it, and its revision."""
    try:
        # Pools may lie in this folder too: QEMU's user must be able to pass through.
        Path(path).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        with ExitStack() as undo:
            lock = _claim(path)
            undo.callback(os.close, lock)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            db = _connect(path)
            [revision] = db.execute("SELECT number FROM revision").fetchone()
            undo.pop_all()
            return db, lock, revision
    except OSError as exc:
        raise StoreUnavailable(reason=f'"{exc.filename or path}" cannot be opened: {exc.strerror}') from exc
    except sqlite3.Error as exc:
        raise StoreUnavailable(reason=f'"{path}" cannot be used: {exc}') from exc


def _claim(path: str) -> int:
    """Lock the file that stands beside `path`; the kernel lets go when this process ends, however it ends."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BlockingIOError as exc:
        pid = os.pread(descriptor, 20, 0).decode()
        os.close(descriptor)
        raise StoreLocked(path=path, holder=f" (process {pid})" if pid else "") from exc
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        _refuse_foreign(db, path)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        with _transaction(db):
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                db.execute(_TABLE)
                db.execute(f"PRAGMA application_id={_APPLICATION}")
                db.execute(f"PRAGMA user_version={_LAYOUT}")
            db.execute(_REVISION)
            db.execute(_FIRST_REVISION)
            db.execute("DELETE FROM record WHERE owner IS NOT NULL")
    except BaseException:
        db.close()
        raise
    return db


def _refuse_foreign(db: sqlite3.Connection, path: str) -> None:
    [application] = db.execute("PRAGMA application_id").fetchone()
    [layout] = db.execute("PRAGMA user_version").fetchone()
    [tables] = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != _APPLICATION and (application or layout or tables):
        raise StoreUnavailable(reason=f'"{path}" belongs to another program')
    if layout > _LAYOUT:
        raise Conflict(kind="store", name=path, problem="was written by a newer pvc")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _split(path: str) -> tuple[str, str]:
    """Return (parent, name); the parent of a record at the top is the empty text."""
    parent, _, name = path.rpartition("/")
    return parent, name


def _read(db: sqlite3.Connection, paths: list[str]) -> list[Entry | None]:
    query = "SELECT value, version FROM record WHERE parent = ? AND name = ?"
    rows = (db.execute(query, _split(path)).fetchone() for path in paths)
    return [None if row is None else Entry(*row) for row in rows]


def _children(db: sqlite3.Connection, path: str) -> list[str]:
    parent = path.rstrip("/")
    if not _exists(db, parent):
        raise NotFound(kind="record", name=path)
    return [name for (name,) in db.execute("SELECT name FROM record WHERE parent = ? ORDER BY name", (parent,))]


def _lists(db: sqlite3.Connection, paths: list[str]) -> list[list[str] | None]:
    return [_children(db, path) if _exists(db, path.rstrip("/")) else None for path in paths]


def _next_revision(db: sqlite3.Connection) -> int:
    number: int = db.execute("UPDATE revision SET number = number + 1 RETURNING number").fetchone()[0]
    return number


def _exists(db: sqlite3.Connection, path: str) -> bool:
    """The root, the empty text here, always does."""
    query = "SELECT 1 FROM record WHERE parent = ? AND name = ?"
    return not path or db.execute(query, _split(path)).fetchone() is not None


def _ensure(db: sqlite3.Connection, path: str) -> Iterator[Topic]:
    names = path.strip("/").split("/")
    for count in range(1, len(names) + 1):
        step = "/" + "/".join(names[:count])
        if not _exists(db, step):
            _create(db, Create(step), 0)
            yield from touched([Create(step)])


def _apply_all(db: sqlite3.Connection, operations: Sequence[Operation], session: int) -> Iterator[Topic]:
    for operation in operations:
        _apply(db, operation, session)
    return touched(operations)


def _apply(db: sqlite3.Connection, operation: Operation, session: int) -> None:
    match operation:
        case Create():
            _create(db, operation, session)
        case Put(path, value, version):
            _expect(db, path, version)
            query = "UPDATE record SET value = ?, version = version + 1 WHERE parent = ? AND name = ?"
            db.execute(query, (value, *_split(path)))
        case Delete(path, version):
            _expect(db, path, version)
            if db.execute("SELECT 1 FROM record WHERE parent = ? LIMIT 1", (path,)).fetchone():
                raise Conflict(kind="record", name=path, problem="has records below it")
            db.execute("DELETE FROM record WHERE parent = ? AND name = ?", _split(path))
        case Check(path, version):
            _expect(db, path, version)


def _create(db: sqlite3.Connection, operation: Create, session: int) -> None:
    parent, name = _split(operation.path)
    if parent:
        row = db.execute("SELECT owner FROM record WHERE parent = ? AND name = ?", _split(parent)).fetchone()
        if row is None:
            raise NotFound(kind="record", name=operation.path)
        if row[0] is not None:
            raise Conflict(kind="record", name=operation.path, problem="cannot stand below an ephemeral record")
    if _exists(db, operation.path):
        raise AlreadyExists(kind="record", name=operation.path)
    owner = session if operation.ephemeral else None
    query = "INSERT INTO record (parent, name, value, owner) VALUES (?, ?, ?, ?)"
    db.execute(query, (parent, name, operation.value, owner))


def _expect(db: sqlite3.Connection, path: str, version: int) -> None:
    row = db.execute("SELECT version FROM record WHERE parent = ? AND name = ?", _split(path)).fetchone()
    if row is None:
        raise NotFound(kind="record", name=path)
    if row[0] != version:
        raise Changed(kind="record", name=path)


def _wipe(db: sqlite3.Connection, session: int) -> Iterator[Topic]:
    query = "DELETE FROM record WHERE owner = ? RETURNING parent, name"
    gone = db.execute(query, (session,)).fetchall()
    return touched(Delete(f"{parent}/{name}", 0) for parent, name in gone)
