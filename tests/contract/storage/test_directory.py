"""What only the directory pool has: a folder in which people put things."""

from __future__ import annotations

import asyncio
import os
import stat
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvc import config
from pvc.errors import Conflict, InUse, PoolFull, PoolUnavailable
from pvc.storage.base import FileSource
from pvc.storage.directory import DirectoryPool, open_directory
from pvc.storage.locks import try_lock
from pvc.storage.pools import open_pools
from pvc.units import KIB, MIB
from tests.parts.small_disk import small_disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 8 MiB."""
    with small_disk(tmp_path / "small", "8M") as folder:
        yield folder


async def opened(path: Path) -> DirectoryPool:
    return await open_directory("local", path)


async def test_the_folder_is_made_so_that_qemu_reaches_files_and_nobody_lists_them(tmp_path: Path) -> None:
    pool = await opened(tmp_path / "a" / "pool")
    await pool.create("disk0", MIB)
    assert stat.S_IMODE((tmp_path / "a" / "pool").stat().st_mode) == 0o711
    assert stat.S_IMODE((tmp_path / "a" / "pool" / "disk0.raw").stat().st_mode) == 0o600
    assert pool.source("disk0") == FileSource(str(tmp_path / "a" / "pool" / "disk0.raw"))
    await pool.aclose()


async def test_a_file_in_place_of_the_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "pool").write_text("")
    with pytest.raises(PoolUnavailable, match='Pool "local" is not available: '):
        await opened(tmp_path / "pool")


async def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PoolUnavailable):
        await opened(Path("/proc/pool"))


async def test_if_one_pool_cannot_be_opened_none_is(tmp_path: Path) -> None:
    good, bad = config.DirectoryPool(path=str(tmp_path / "good")), config.DirectoryPool(path="/proc/bad")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PoolUnavailable, match='Pool "bad"'):
        await open_pools({"good": good, "bad": bad})
    assert len(os.listdir("/proc/self/fd")) == before
    pools = await open_pools({"good": good})
    assert list(pools) == ["good"]
    await pools["good"].aclose()


async def test_what_cannot_be_a_volume_is_listed_with_its_problem(tmp_path: Path) -> None:
    pool = await opened(tmp_path)
    (tmp_path / "secret").write_text("host file")
    (tmp_path / "link.raw").symlink_to(tmp_path / "secret")
    (tmp_path / "folder.raw").mkdir()
    os.mkfifo(tmp_path / "pipe.raw")
    (tmp_path / "a b.raw").touch()
    (tmp_path / "notes.txt").touch()
    problems = {volume.name: volume.problem for volume in await pool.volumes()}
    assert set(problems) == {"link", "folder", "pipe", "a b"}
    assert "symbolic link" in problems["link"]
    assert problems["folder"] == problems["pipe"] == "is not a regular file"
    assert "must be" in problems["a b"]
    await pool.aclose()


async def test_what_cannot_be_a_volume_is_not_touched(tmp_path: Path) -> None:
    pool = await opened(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("host file")
    (tmp_path / "link.raw").symlink_to(secret)
    (tmp_path / "folder.raw").mkdir()
    os.mkfifo(tmp_path / "pipe.raw")
    for name in ("link", "folder", "pipe"):
        for request in (
            pool.resize(name, MIB, shrink=True),
            pool.clone(name, "copy"),
            pool.rename(name, "other"),
            pool.snapshot(name, "snap"),
            pool.remove(name),
        ):
            with pytest.raises(Conflict):
                await request
        with pytest.raises(Conflict):
            async with pool.draft(name):
                pass
    assert secret.read_text() == "host file"
    await pool.aclose()


async def test_the_owner_and_mode_that_libvirt_gave_survive_an_upload(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    pool = await opened(tmp_path)
    await pool.create("disk0", MIB)
    os.chown(tmp_path / "disk0.raw", 64055, 994)
    os.chmod(tmp_path / "disk0.raw", 0o640)
    async with pool.draft("disk0") as draft:
        await draft.write(b"new")
        await draft.commit()
    info = (tmp_path / "disk0.raw").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (64055, 994, 0o640)
    await pool.aclose()


async def test_a_full_pool_keeps_the_old_content_and_room_comes_back(small: Path) -> None:
    pool = await opened(small)
    await pool.create("disk0", 8 * MIB)
    async with pool.draft("disk0") as draft:
        await draft.write(b"old")
        await draft.commit()
    await pool.create("disk1", 4 * MIB)
    async with pool.draft("disk1") as draft:
        await draft.write(b"x" * 4 * MIB)
        await draft.commit()
    free = (await pool.usage()).free
    with pytest.raises(PoolFull) as exc:
        async with pool.draft("disk0") as draft:
            await draft.write(b"y" * 8 * MIB)
            await draft.commit()
    assert str(exc.value) == 'Pool "local" has too little space left.'
    with pytest.raises(PoolFull):
        await pool.clone("disk1", "disk2")
    with pytest.raises(PoolFull):
        await pool.snapshot("disk1", "snap")
    assert (small / "disk0.raw").read_bytes()[:4] == b"old\0"
    assert os.listdir(small / ".incoming") == []
    assert [volume.name for volume in await pool.volumes()] == ["disk0", "disk1"]
    assert (await pool.usage()).free >= free - 64 * KIB
    await pool.aclose()


async def test_orphans_are_removed_by_name(tmp_path: Path) -> None:
    pool = await opened(tmp_path)
    await pool.create("disk0", MIB)
    (tmp_path / ".incoming" / "disk0.00ff").write_bytes(b"left by a dead process")
    (tmp_path / ".incoming" / "scratch.00ff").write_bytes(b"left by a dead process")
    assert list(await pool.remove_orphans()) == ["disk0.00ff", "scratch.00ff"]
    assert os.listdir(tmp_path / ".incoming") == []
    assert [volume.name for volume in await pool.volumes()] == ["disk0"]
    await pool.aclose()


@pytest.mark.parametrize(("snapshots_moved", "volume_moved"), [(False, False), (True, False), (True, True)])
async def test_a_rename_cut_by_a_crash_is_finished_at_the_next_start(
    tmp_path: Path, snapshots_moved: bool, volume_moved: bool
) -> None:
    pool = await opened(tmp_path)
    await pool.create("disk0", MIB)
    await pool.snapshot("disk0", "snap")
    (tmp_path / ".incoming" / "rename.00ff").symlink_to("disk0/disk1")
    if snapshots_moved:
        (tmp_path / ".snapshots" / "disk0").rename(tmp_path / ".snapshots" / "disk1")
    if volume_moved:
        (tmp_path / "disk0.raw").rename(tmp_path / "disk1.raw")
    await pool.remove_orphans()
    assert [(volume.name, volume.snapshots) for volume in await pool.volumes()] == [("disk1", 1)]
    assert os.listdir(tmp_path / ".incoming") == []
    await pool.aclose()


async def test_a_file_of_any_length_takes_an_upload(tmp_path: Path) -> None:
    pool = await opened(tmp_path)
    (tmp_path / "odd.raw").write_bytes(b"x" * 5001)
    async with pool.draft("odd") as draft:
        await draft.write(b"y" * 5001)
        await draft.commit()
    assert (tmp_path / "odd.raw").read_bytes() == b"y" * 5001
    await pool.aclose()


@pytest.mark.real
@pytest.mark.parametrize(
    "program",
    [
        "qemu-system-x86_64 -S -nodefaults -display none -accel tcg -monitor stdio -drive file={},format=raw,if=virtio",
        "qemu-io -f raw {}",
    ],
)
async def test_what_a_real_qemu_has_open_is_left_alone(tmp_path: Path, program: str) -> None:
    pool = await opened(tmp_path)
    await pool.create("disk0", MIB)
    command = program.format(tmp_path / "disk0.raw").split()
    qemu = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert qemu.stdout is not None
    try:
        await qemu.stdout.readuntil(b"qemu")  # its prompt: the image is open
        assert await pool.is_open("disk0")
        with pytest.raises(InUse):
            await pool.remove("disk0")
        with pytest.raises(InUse):
            async with pool.draft("disk0"):
                pass
    finally:
        qemu.kill()
        await qemu.communicate()
    assert not await pool.is_open("disk0")
    await pool.remove("disk0")
    await pool.aclose()


@pytest.mark.real
async def test_a_real_qemu_cannot_open_what_is_being_changed(tmp_path: Path) -> None:
    pool = await opened(tmp_path)
    await pool.create("disk0", MIB)
    with (tmp_path / "disk0.raw").open("r+b") as file:
        assert try_lock(file.fileno())
        qemu = await asyncio.create_subprocess_exec("qemu-io", "-f", "raw", "-c", "quit", file.name, stderr=PIPE)
        _, said = await qemu.communicate()
    assert qemu.returncode == 1
    assert b"lock" in said
    await pool.aclose()
