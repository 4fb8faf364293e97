"""What only the embedded store promises: its file, its process, its disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pvc.errors import Conflict, PVCError, SessionLost, StoreLocked, StoreUnavailable
from pvc.store.base import Create, Entry, Put
from pvc.store.embedded import EmbeddedSource

Writer = asyncio.subprocess.Process


@asynccontextmanager
async def writer(path: Path) -> AsyncIterator[Writer]:
    arguments = (sys.executable, "-m", "tests.contract.store.writer", str(path))
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert await line(process) == "open"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: Writer) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def refused(path: Path) -> PVCError:
    with pytest.raises(PVCError) as caught:
        await EmbeddedSource.open(str(path))
    return caught.value


@pytest.mark.parametrize("acknowledged", [1, 7, 60])
async def test_a_killed_process_leaves_every_acknowledged_transaction_whole(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "pvc.db"
    async with writer(path) as process:
        while (last := int(await line(process))) < acknowledged:
            pass
        process.kill()
        assert process.stdout is not None
        last = max([last, *map(int, (await process.stdout.read()).split())])
    source = await EmbeddedSource.open(str(path))
    store = await source.session()
    written = int((await store.get("/counter")).value)
    assert last <= written <= last + 1  # one may have been done and not yet been printed
    expected = sorted(str(number) for number in range(1, written + 1))
    assert await store.children("/left") == expected
    assert await store.children("/right") == expected
    assert "alive" not in await store.children("/")
    await source.aclose()


async def test_a_second_process_is_refused_and_told_the_first_one_s_pid(tmp_path: Path) -> None:
    path = tmp_path / "pvc.db"
    async with writer(path) as process:
        error = await refused(path)
        assert isinstance(error, StoreLocked)
        assert str(error) == f'The store "{path}" is in use by another pvc serve (process {process.pid}).'
        process.kill()
        await process.wait()
        await (await EmbeddedSource.open(str(path))).aclose()


async def test_the_same_process_is_refused_too_until_it_has_closed_the_store(tmp_path: Path) -> None:
    path = tmp_path / "pvc.db"
    source = await EmbeddedSource.open(str(path))
    assert str(os.getpid()) in str(await refused(path))
    await source.aclose()
    await (await EmbeddedSource.open(str(path))).aclose()


async def test_what_was_written_is_there_after_reopening_but_for_ephemerals(tmp_path: Path) -> None:
    path = tmp_path / "pvc.db"
    source = await EmbeddedSource.open(str(path))
    store = await source.session()
    await store.commit(Create("/a", b"1"), Put("/a", b"2", 0), Create("/alive", ephemeral=True))
    await source.aclose()
    source = await EmbeddedSource.open(str(path))
    store = await source.session()
    assert await store.children("/") == ["a"]
    assert await store.get("/a") == Entry(b"2", 1)
    await source.aclose()


async def test_closing_the_source_ends_its_sessions(tmp_path: Path) -> None:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    stores = [await source.session() for _ in range(3)]
    await source.aclose()
    await source.aclose()
    for store in stores:
        assert store.lost.is_set()
        with pytest.raises(SessionLost):
            await store.get("/")
    with pytest.raises(StoreUnavailable, match="it is closed"):
        await source.session()


async def test_only_its_owner_may_read_the_folder_and_the_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "pvc.db"
    source = await EmbeddedSource.open(str(path))
    store = await source.session()
    await store.commit(Create("/a", b"secret"))
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("pvc.db", "pvc.db-wal", "pvc.db-shm", "pvc.db.lock"), 0o600)
    assert path.parent.stat().st_mode & 0o777 == 0o711
    await source.aclose()


async def test_a_file_that_is_not_a_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "pvc.db"
    path.write_text("Dear diary, " * 500)
    error = await refused(path)
    assert isinstance(error, StoreUnavailable)
    assert f'"{path}" cannot be used: file is not a database' in str(error)
    assert path.read_text() == "Dear diary, " * 500


async def test_another_program_s_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "pvc.db"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE record (title TEXT)")
    theirs.close()
    before = path.read_bytes()
    assert f'"{path}" belongs to another program' in str(await refused(path))
    assert path.read_bytes() == before


async def test_a_newer_pvc_s_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pvc.db"
    await (await EmbeddedSource.open(str(path))).aclose()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=2")
    db.close()
    error = await refused(path)
    assert type(error) is Conflict
    assert str(error) == f'Store "{path}" was written by a newer pvc.'


async def test_a_refused_file_is_not_left_locked(tmp_path: Path) -> None:
    path = tmp_path / "pvc.db"
    path.write_text("not a database" * 100)
    await refused(path)
    path.unlink()
    await (await EmbeddedSource.open(str(path))).aclose()


async def test_a_folder_that_cannot_be_is_a_clear_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = await refused(tmp_path / "file" / "pvc.db")
    assert isinstance(error, StoreUnavailable)
    assert f'"{tmp_path / "file"}' in str(error)
    assert "cannot be opened: " in str(error)
    (tmp_path / "pvc.db").mkdir()
    assert f'"{tmp_path / "pvc.db"}" cannot be opened: Is a directory' in str(await refused(tmp_path / "pvc.db"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without permission")
async def test_no_permission_is_a_clear_reason(tmp_path: Path) -> None:
    path = tmp_path / "pvc.db"
    await (await EmbeddedSource.open(str(path))).aclose()
    os.seteuid(65534)
    try:
        error = await refused(path)
    finally:
        os.seteuid(0)
    assert isinstance(error, StoreUnavailable)
    assert "cannot be opened: Permission denied" in str(error)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if os.geteuid() != 0 or (tried := subprocess.run(mount, capture_output=True, text=True)).returncode:
        reason = tried.stderr if os.geteuid() == 0 else "only root mounts"
        pytest.skip(f"a small disk cannot be mounted: {reason}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_leaves_nothing_half_done_and_the_store_goes_on(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500_000))
    source = await EmbeddedSource.open(str(small_disk / "pvc.db"))
    store = await source.session()
    done = 0
    with pytest.raises(StoreUnavailable, match="database or disk is full"):
        while True:
            await store.commit(Create(f"/a{done}", bytes(20_000)), Create(f"/b{done}", bytes(20_000)))
            done += 1
    names = sorted(f"{letter}{number}" for letter in "ab" for number in range(done))
    assert done > 0
    assert await store.children("/") == names
    ballast.unlink()
    await store.commit(Create("/after", bytes(20_000)))
    assert await store.children("/") == sorted([*names, "after"])
    await source.aclose()


async def test_a_full_disk_at_the_start_is_a_clear_reason(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space"), (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))
    error = await refused(small_disk / "pvc.db")
    assert isinstance(error, StoreUnavailable)
    assert str(small_disk) in str(error)
