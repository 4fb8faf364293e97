"""What only a pool in Ceph has: objects, other machines, silence, and crashes in the middle of two renames."""

from __future__ import annotations

import asyncio
import base64
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from typing import Any

import pytest
import rados
import rbd

from pvc.errors import AlreadyExists, Conflict, InUse, NotFound, PoolFull, PoolUnavailable
from pvc.storage.base import RBDSource
from pvc.storage.ceph import Cluster
from pvc.storage.rbd import RBDPool, open_rbd
from pvc.storage.rbdimages import Images
from pvc.units import GIB, MIB
from tests.contract.storage.rbd_harness import RBDHarness
from tests.parts.ceph import POOL, USER, Ceph, command

pytestmark = pytest.mark.real

SIZE = 16 * MIB


@pytest.fixture
def harness(ceph: Ceph) -> Iterator[RBDHarness]:
    with RBDHarness(ceph) as harness:
        yield harness


@pytest.fixture
async def pool(harness: RBDHarness) -> AsyncIterator[RBDPool]:
    pool = await harness.open()
    yield pool
    await pool.aclose()


async def upload(pool: RBDPool, volume: str, data: bytes) -> None:
    async with pool.draft(volume) as draft:
        await draft.write(data)
        await draft.commit()


async def test_an_image_half_of_which_is_a_hole_takes_half_the_objects(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", 2 * GIB)
    data, hole = b"data" * MIB, bytes(4 * MIB)
    async with pool.draft("disk0") as draft:
        for _ in range(GIB // len(data)):
            await draft.write(data)
            await draft.write(hole)
        await draft.commit()
    assert harness.objects("disk0") == GIB // len(data)
    assert (await pool.volume("disk0")).used == GIB


@pytest.mark.parametrize("expected", [None, 4 * MIB, SIZE])
async def test_a_volume_knows_its_objects_whenever_its_draft_learnt_them(
    pool: RBDPool, harness: RBDHarness, expected: int | None
) -> None:
    await pool.create("disk0", SIZE)
    with harness.image("disk0", read_only=True) as image:
        features = image.features()
    async with pool.draft("disk0", expected) as draft:
        await draft.skip(4 * MIB)
        await draft.write(b"x" * 4 * MIB)
        await draft.flush()
        async with draft.content() as content:
            assert list(await content.stretches()) == [(4 * MIB, 8 * MIB)]
        await draft.write(b"y" * 4 * MIB)
        await draft.commit()
    with harness.image("disk0", read_only=True) as image:
        assert (image.features(), image.flags()) == (features, 0)
    assert (await pool.volume("disk0")).used == 8 * MIB


async def test_what_is_dense_is_mapped_at_the_end(
    pool: RBDPool, harness: RBDHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped = []
    monkeypatch.setattr("pvc.storage.rbddraft.map_objects", lambda image: mapped.append(image.size()))
    await pool.create("disk0", SIZE)
    for expected in (None, SIZE // 8, SIZE // 4):
        async with pool.draft("disk0", expected) as draft:
            await draft.flush()
            await draft.flush()
    assert mapped == [SIZE]


async def test_old_content_is_gone_soon(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", SIZE)
    for content in (b"one", b"two"):
        await upload(pool, "disk0", content)
    await harness.removed()
    assert harness.names() == ["disk0"]


async def test_old_content_that_takes_long_to_remove_keeps_nobody_waiting(
    pool: RBDPool, harness: RBDHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, drop = threading.Event(), Images.drop
    monkeypatch.setattr(Images, "drop", lambda images, name: let_go.wait() and drop(images, name))
    await pool.create("disk0", SIZE)
    try:
        await upload(pool, "disk0", b"one")
        assert len([name for name in harness.names() if name.startswith(".pvc.old.")]) == 1
        assert await pool.unfinished() == {}
        assert await pool.remove_orphans() == []
    finally:
        let_go.set()
    await harness.removed()
    assert harness.names() == ["disk0"]


async def test_a_hole_that_ends_within_objects_costs_none(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", 64 * MIB)
    await upload(pool, "disk0", b"x" * MIB + bytes(40 * MIB) + b"x" * MIB)
    assert harness.objects("disk0") == 2


async def test_all_volumes_of_many_are_listed(pool: RBDPool, harness: RBDHarness) -> None:
    for number in range(200):
        rbd.RBD().create(harness.pool, f"disk{number:03}", MIB, order=22, features=61)
    assert [(volume.name, volume.size, volume.problem) for volume in await pool.volumes()] == [
        (f"disk{number:03}", MIB, "") for number in range(200)
    ]


async def test_a_list_has_true_names_and_sizes_of_a_bounded_age(harness: RBDHarness) -> None:
    now = 0.0
    cluster = await asyncio.to_thread(Cluster, "local", harness.settings(list_age_s=10.0))
    pool = RBDPool(Images(cluster, lambda: now))
    await pool.create("disk0", MIB)

    def resize_elsewhere(name: str, size: int) -> None:
        with harness.image(name) as image:
            image.resize(size)

    assert [volume.size for volume in await pool.volumes()] == [MIB]
    resize_elsewhere("disk0", 2 * MIB)
    assert [volume.size for volume in await pool.volumes()] == [MIB]
    rbd.RBD().rename(harness.pool, "disk0", "disk1")
    assert [volume.name for volume in await pool.volumes()] == ["disk1"]
    resize_elsewhere("disk1", 3 * MIB)
    now = 11.0
    assert [volume.size for volume in await pool.volumes()] == [3 * MIB]
    await pool.resize("disk1", 4 * MIB)
    assert [volume.size for volume in await pool.volumes()] == [4 * MIB]
    await pool.aclose()


async def test_what_others_put_there_is_listed_with_its_problem(pool: RBDPool, harness: RBDHarness) -> None:
    rbd.RBD().create(harness.pool, "a b", MIB, order=22, features=61)
    rbd.RBD().create(harness.pool, "plain", MIB, order=22, features=1)
    volumes = {volume.name: volume for volume in await pool.volumes()}
    assert set(volumes) == {"a b", "plain"}
    assert "must be" in volumes["a b"].problem
    assert (volumes["plain"].problem, volumes["plain"].used) == ("", None)
    await upload(pool, "plain", b"new")
    assert harness.content("plain")[:4] == b"new\0"


SILENT: dict[str, Callable[[RBDPool], Awaitable[object]]] = {
    "volumes": lambda pool: pool.volumes(),
    "volume": lambda pool: pool.volume("disk0"),
    "is_open": lambda pool: pool.is_open("disk0"),
    "locks": lambda pool: pool.locks("disk0"),
    "break_locks": lambda pool: pool.break_locks("disk0"),
    "create": lambda pool: pool.create("disk1", MIB),
    "resize": lambda pool: pool.resize("disk0", 32 * MIB),
    "clone": lambda pool: pool.clone("disk0", "disk1"),
    "rename": lambda pool: pool.rename("disk0", "disk1"),
    "remove": lambda pool: pool.remove("disk0"),
    "snapshot": lambda pool: pool.snapshot("disk0", "other"),
    "roll_back": lambda pool: pool.roll_back("disk0", "snap"),
    "draft": lambda pool: upload(pool, "disk0", b"new"),
}


async def test_a_silent_osd_ends_every_request_in_its_time_and_nothing_else(harness: RBDHarness) -> None:
    pool = await harness.open(op_timeout_s=1.0)
    await pool.create("disk0", SIZE)
    await pool.snapshot("disk0", "snap")
    with harness.ceph.osd.frozen():
        for name, request in SILENT.items():
            with pytest.raises(PoolUnavailable, match='Pool "local" is not available: Ceph did not answer in time'):
                await request(pool)
                pytest.fail(f"{name} was answered")
    assert [(volume.name, volume.size) for volume in await pool.volumes()] == [("disk0", SIZE)]
    await pool.aclose()


async def test_an_osd_that_falls_silent_during_an_upload_ends_it_and_the_volume_keeps_its_content(
    harness: RBDHarness,
) -> None:
    pool = await harness.open(op_timeout_s=1.0)
    await pool.create("disk0", 256 * MIB)
    await upload(pool, "disk0", b"old")
    with pytest.raises(PoolUnavailable):
        async with pool.draft("disk0") as draft:
            await draft.write(b"new" * MIB)
            await draft.flush()
            with harness.ceph.osd.frozen():
                for _ in range(60):
                    await draft.write(b"new!" * MIB)
                await draft.commit()
    assert harness.content("disk0")[:4] == b"old\0"
    await pool.aclose()


async def test_silent_monitors_end_the_opening_in_its_time(harness: RBDHarness) -> None:
    with harness.ceph.mon.frozen(), pytest.raises(PoolUnavailable, match="in time"):
        await harness.open(connect_timeout_s=1.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"conf": "/none.conf"}, '"/none.conf" is not there'),
        ({"pool": "none"}, 'Ceph has no pool "none"'),
        ({"user": "stranger"}, "."),
        ({"keyring": "/none"}, "."),
    ],
)
async def test_what_cannot_be_opened_is_refused_with_the_reason(
    harness: RBDHarness, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PoolUnavailable, match=f'Pool "local" is not available: {reason}'):
        await harness.open(connect_timeout_s=5.0, **changes)


async def test_a_pool_over_its_quota_is_full_and_keeps_what_it_has(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", SIZE)
    await upload(pool, "disk0", b"old" + b"x" * 8 * MIB)
    with harness.ceph.admin() as admin:
        command(admin, "osd pool set-quota", pool=POOL, field="max_bytes", val="1")
        try:
            while "full_quota" not in command(admin, "osd pool ls", detail="detail")[0]["flags_names"]:
                await pool.volumes()
            with pytest.raises(PoolFull):
                await upload(pool, "disk0", b"new" + b"y" * 8 * MIB)
            assert harness.content("disk0")[:3] == b"old"
            assert await harness.hidden() == []
            await pool.remove("disk0")
        finally:
            command(admin, "osd pool set-quota", pool=POOL, field="max_bytes", val="0")
            harness.wait_for_room()


async def test_the_hypervisor_learns_the_monitors_and_the_key(pool: RBDPool, harness: RBDHarness) -> None:
    host, _, port = harness.ceph.address.rpartition(":")
    secret = await pool.secret()
    assert pool.source("disk0") == RBDSource(POOL, "disk0", ((host, int(port)),), USER, secret.uuid)
    assert secret.value == base64.b64decode(harness.ceph.keys[f"client.{USER}"])
    assert harness.ceph.fsid in secret.name
    assert pool.capabilities.shared


async def test_a_snapshot_with_clones_of_its_own_stays(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", MIB)
    await pool.snapshot("disk0", "snap")
    with harness.image("disk0") as image:
        image.protect_snap("snap")
    rbd.RBD().clone(harness.pool, "disk0", "snap", harness.pool, "child")
    with pytest.raises(Conflict, match="has clones that still need it"):
        await pool.remove_snapshot("disk0", "snap")
    await pool.remove("child")
    await pool.remove_snapshot("disk0", "snap")
    assert await pool.snapshots("disk0") == []


async def test_orphans_are_removed_by_name_unless_their_process_lives(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", MIB)
    for name in (".pvc.draft.00ff", ".pvc.gone.00ff", ".pvc.old.00ff.disk0", ".pvc.draft.alive"):
        rbd.RBD().create(harness.pool, name, MIB, order=22, features=61)
    with harness.held(".pvc.draft.alive"):
        assert list(await pool.remove_orphans()) == [".pvc.draft.00ff", ".pvc.gone.00ff", ".pvc.old.00ff.disk0"]
    assert harness.names() == [".pvc.draft.alive", "disk0"]


async def test_only_orphans_that_are_named_are_removed(pool: RBDPool, harness: RBDHarness) -> None:
    for name in (".pvc.draft.00ff.disk0", ".pvc.draft.01ff.disk.1"):
        rbd.RBD().create(harness.pool, name, MIB, order=22, features=61)
    assert await pool.unfinished() == {".pvc.draft.00ff.disk0": "disk0", ".pvc.draft.01ff.disk.1": "disk.1"}
    assert list(await pool.remove_orphans([".pvc.draft.01ff.disk.1", "disk0"])) == [".pvc.draft.01ff.disk.1"]
    assert harness.names() == [".pvc.draft.00ff.disk0"]


async def test_what_is_being_made_names_its_volume(pool: RBDPool) -> None:
    await pool.create("disk0", MIB)
    async with pool.draft("disk0"), pool.scratch("disk0", MIB):
        assert list((await pool.unfinished()).values()) == ["disk0", "disk0"]
    assert await pool.unfinished() == {}


async def test_a_volume_that_is_away_is_listed_and_its_name_is_taken(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", MIB)
    rbd.RBD().rename(harness.pool, "disk0", ".pvc.old.00ff.disk0")
    [volume] = await pool.volumes()
    assert volume.name == "disk0" and "brings it back" in volume.problem
    with pytest.raises(AlreadyExists):
        await pool.create("disk0", MIB)
    with pytest.raises(NotFound):
        await pool.volume("disk0")
    await pool.remove_orphans()
    assert (await pool.volume("disk0")).size == MIB


async def test_how_far_a_removal_is_can_be_heard_in_bytes_of_the_volume(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", 64 * MIB)
    harness.fill("disk0", b"x" * (16 * MIB))
    heard: list[tuple[int, int]] = []
    await pool.remove("disk0", lambda done, total: heard.append((done, total)))
    assert len(heard) > 1
    assert heard == sorted(heard)
    assert {total for _, total in heard} == {64 * MIB}
    assert heard[-1][0] >= 60 * MIB  # librbd tells of an object when it begins with it
    assert harness.names() == []


class Dying(Cluster):
    """Does as many more changes as `left` says; then the process is as good as dead."""

    left = 1000

    def _count(self) -> None:
        if self.left == 0:
            raise rados.Error("the process died")
        self.left -= 1

    def rename(self, name: str, new_name: str) -> None:
        self._count()
        super().rename(name, new_name)

    def remove(self, name: str, on_progress: Callable[[int, int], int] | None = None) -> None:
        self._count()
        super().remove(name, on_progress)

    def open(self, name: str, *, writable: bool = False, snapshot: str | None = None) -> rbd.Image:
        if self.left == 0:
            raise rados.Error("the process died")
        return super().open(name, writable=writable, snapshot=snapshot)


@pytest.mark.parametrize("snapshots", [[], ["snap"]])
async def test_after_a_crash_at_any_change_of_a_commit_the_old_or_the_new_content_is_there(
    harness: RBDHarness, snapshots: list[str]
) -> None:
    pool = await harness.open()
    await pool.create("disk0", SIZE)
    seen = set()
    for changes in count():
        harness.fill("disk0", b"old" * MIB)
        for name in {*snapshots} - {snapshot.name for snapshot in await pool.snapshots("disk0")}:
            await pool.snapshot("disk0", name)
        dead = await _upload_and_die(harness, changes)
        await pool.remove_orphans()
        seen.add(content := harness.content("disk0")[:3])
        assert content in (b"old", b"new")
        assert harness.names() == ["disk0"]
        assert [snapshot.name for snapshot in await pool.snapshots("disk0")] == snapshots
        if not dead:
            break
    assert seen == {b"old", b"new"}
    assert changes > 1
    await pool.aclose()


async def _upload_and_die(harness: RBDHarness, changes: int) -> bool:
    cluster = await asyncio.to_thread(Dying, "local", harness.settings())
    pool = RBDPool(Images(cluster))
    try:
        async with pool.draft("disk0") as draft:
            await draft.write(b"new" * MIB)
            cluster.left = changes
            await draft.commit()
            cluster.left = 1000
    except PoolUnavailable:
        return True
    finally:
        await pool.aclose()
    return False


async def test_content_that_was_half_put_into_a_volume_with_snapshots_is_taken_back(
    pool: RBDPool, harness: RBDHarness
) -> None:
    await pool.create("disk0", SIZE)
    harness.fill("disk0", b"old" * MIB)
    await pool.snapshot("disk0", "snap")
    with harness.image("disk0") as image:
        image.create_snap(".pvc.undo")
        image.write(b"half", 0)
    rbd.RBD().rename(harness.pool, "disk0", ".pvc.old.00ff.disk0")
    assert list(await pool.remove_orphans()) == [".pvc.old.00ff.disk0"]
    assert harness.content("disk0")[:3] == b"old"
    with harness.image("disk0") as image:
        assert [snapshot["name"] for snapshot in image.list_snaps()] == ["snap"]


async def test_settings_of_an_image_survive_an_upload(pool: RBDPool, harness: RBDHarness) -> None:
    await pool.create("disk0", MIB)
    with harness.image("disk0") as image:
        image.metadata_set("conf_rbd_qos_iops_limit", "100")
    await upload(pool, "disk0", b"new")
    with harness.image("disk0") as image:
        assert image.metadata_get("conf_rbd_qos_iops_limit") == "100"


async def test_a_pool_opens_through_its_settings(harness: RBDHarness) -> None:
    pool = await open_rbd("ceph", harness.settings())
    assert (await pool.create("disk0", MIB)).name == "disk0"
    with pytest.raises(NotFound, match="ceph/gone"):
        await pool.volume("gone")
    await pool.aclose()


_HOLDER = """
import os, rados, rbd, sys
cluster = rados.Rados(conffile=sys.argv[1], name="client.pvc", conf={"keyring": sys.argv[2]})
cluster.connect()
image = rbd.Image(cluster.open_ioctx(sys.argv[3]), "disk0")
image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
print("locked", flush=True)
sys.stdin.read()
"""


async def test_a_lock_is_seen_kept_while_its_owner_lives_and_broken_when_he_is_dead(
    pool: RBDPool, harness: RBDHarness
) -> None:
    await pool.create("disk0", SIZE)
    assert await pool.locks("disk0") == await pool.break_locks("disk0") == []
    words = [sys.executable, "-c", _HOLDER, str(harness.ceph.conf), str(harness.ceph.keyring), POOL]
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    holder = await asyncio.create_subprocess_exec(*words, **pipes)  # type: ignore[arg-type]
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"locked\n"
        [lock] = await pool.locks("disk0")
        assert (lock.volume, lock.owner.startswith("client."), "127.0.0.1" in lock.address) == ("disk0", True, True)
        with pytest.raises(InUse, match='Volume "local/disk0" is in use by a running guest or another program'):
            await pool.break_locks("disk0")
        assert await pool.locks("disk0") == [lock]
    finally:
        holder.kill()
        await holder.wait()
    async with asyncio.timeout(40):  # Ceph gives up who died after `osd_client_watch_timeout`
        while await pool.is_open("disk0"):
            await asyncio.sleep(0.2)
    assert await pool.break_locks("disk0") == [lock]
    assert await pool.locks("disk0") == []
    with pytest.raises(NotFound):
        await pool.break_locks("disk1")
