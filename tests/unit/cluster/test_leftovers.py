"""What servers that died left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, cast

import pytest

from pvc.cluster import leftovers, tasks, vms, volumes
from pvc.cluster.state import Attentive, Held, MirrorView
from pvc.errors import InUse, NotFound, PoolUnavailable, SessionLost
from pvc.model.records import OVA, OVADisk, Task, TaskStatus, encode
from pvc.storage.base import Pool
from pvc.store.base import Create
from pvc.store.mirror import mirrored
from pvc.store.paths import lock_path
from tests.parts import documents
from tests.unit.cluster.house import House

UUID = "10000000-0000-4000-8000-000000000001"
LOCK = volumes.lock_name("local", "web1")


async def begun(house: House, kind: str = leftovers.UPLOAD, target: tuple[str, str] = ("volume", "local/web1")) -> Task:
    task = tasks.new(house.state, kind, target, "web1", node="api1")
    await house.state.store.commit(tasks.creation(house.state, task))
    return task


async def names(house: House) -> list[str]:
    return [volume.name for volume in await house.pool.volumes()]


async def status(house: House, task: Task) -> TaskStatus:
    return (await house.state.task(task.id)).record.status


async def test_an_upload_whose_lock_is_gone_has_failed_and_says_why(house: House) -> None:
    task = await begun(house)
    assert await leftovers.end_abandoned(house.other) == (set(), 1)
    ended = (await house.state.task(task.id)).record
    assert ended.status is TaskStatus.FAILED
    said = 'The server on "api1" is not available: it ended, or lost the cluster store, during the upload'
    assert ended.problem == {"code": "unavailable", "message": said}
    assert await leftovers.end_abandoned(house.other) == (set(), 0)


async def test_an_upload_under_its_lock_goes_on(house: House) -> None:
    task = await begun(house)
    async with volumes.reserved(house.state, "local", "web1", leftovers.holder(task)):
        assert await leftovers.end_abandoned(house.other) == ({lock_path(LOCK)}, 0)
        assert await status(house, task) is TaskStatus.RUNNING


async def test_the_lock_of_the_next_upload_does_not_keep_an_abandoned_one(house: House) -> None:
    task, second = await begun(house), await begun(house)
    async with volumes.reserved(house.state, "local", "web1", leftovers.holder(second)):
        assert await leftovers.end_abandoned(house.other) == ({lock_path(LOCK)}, 1)
    assert await status(house, task) is TaskStatus.FAILED
    assert await status(house, second) is TaskStatus.RUNNING


async def test_what_others_run_and_what_cannot_be_read_is_left_alone(house: House) -> None:
    plug = await begun(house, "attach", ("vm", "u"))
    await house.state.store.commit(Create(house.state.paths.task("broken"), b"{"))
    assert await leftovers.end_abandoned(house.other) == (set(), 0)
    assert await status(house, plug) is TaskStatus.RUNNING


async def test_whoever_looks_again_and_again_has_all_tasks_in_memory(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = house.other
    old = [await begun(house, "attach", ("vm", "u")) for _ in range(5)]
    async with mirrored(state.store, state.paths.mirrored) as mirror:
        keeping = asyncio.create_task(mirror.keep())
        attentive = Attentive(state.reader, state.paths, mirror=MirrorView(mirror, state.paths))
        new = await begun(house)
        await state.store.sync()
        monkeypatch.setattr(type(state.store), "children", refuse)
        assert await leftovers.end_abandoned(attentive) == (set(), 1)
        assert await status(house, new) is TaskStatus.FAILED
        assert {item.record.id for item in await attentive.tasks() if isinstance(item, Held)} == {
            task.id for task in [*old, new]
        }
        keeping.cancel()


async def refuse(*_: object) -> None:
    raise AssertionError("the store was asked for all tasks")


async def test_a_task_that_begins_later_and_is_abandoned_is_ended_too(house: House) -> None:
    clearing = asyncio.create_task(leftovers.keep_clear(house.other, house.pools, "api2"))
    with pytest.raises(tasks.TaskProblem, match="during the upload"):
        await tasks.wait(house.state, (await begun(house)).id, 10)
    await house.other.store.aclose()
    await clearing


async def test_the_lock_of_what_goes_on_is_watched(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()
    watch = type(house.other.store).watch

    def note(self: Any, *paths: str, children: Sequence[str] = ()) -> Any:
        watched.put_nowait(paths)
        return watch(self, *paths, children=children)

    monkeypatch.setattr(type(house.other.store), "watch", note)
    clearing = asyncio.create_task(leftovers.keep_clear(house.other, house.pools, "api2"))
    async with asyncio.timeout(10):
        assert await watched.get() == ()
        task = tasks.new(house.state, leftovers.UPLOAD, ("volume", "local/web1"), "web1", node="api1")
        async with house.state.store.lock(LOCK, leftovers.holder(task)):
            await house.state.store.commit(tasks.creation(house.state, task))
            assert await watched.get() == (lock_path(LOCK),)
    await house.other.store.aclose()
    await clearing


async def test_whoever_holds_a_volume_is_cut_off_when_the_session_is_lost(house: House) -> None:
    with pytest.raises(SessionLost, match="with it the lock"):
        async with volumes.reserved(house.state, "local", "web1", "an upload"):
            await house.state.store.aclose()
            await asyncio.Event().wait()


async def test_a_deadline_inside_is_still_its_own(house: House) -> None:
    with pytest.raises(TimeoutError):
        async with volumes.reserved(house.state, "local", "web1", "an upload"):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()


class Shared:
    """A pool with images that are no volumes. open: those that Ceph believes open."""

    name = "vms"

    def __init__(self, *unfinished: str, open_: Collection[str] = ()) -> None:
        self.left, self.open = list(unfinished), open_

    async def unfinished(self) -> dict[str, str]:
        return {name: name.partition(".")[0] for name in self.left}

    async def remove_orphans(self, among: Collection[str]) -> list[str]:
        removed = [name for name in self.left if name in among and name not in self.open]
        self.left = [name for name in self.left if name not in removed]
        return removed


async def sweep(house: House, pool: Shared) -> bool:
    return await leftovers.sweep(house.other, cast(Pool, pool))


async def test_what_a_dead_server_left_is_removed_and_what_is_held_is_not(house: House) -> None:
    pool = Shared("web1.draft", "web2.draft")
    async with volumes.reserved(house.state, "vms", "web2", "an upload"):
        assert await sweep(house, pool) is False
        assert pool.left == ["web2.draft"]
    assert await sweep(house, pool) is False
    assert pool.left == []


async def test_what_ceph_believes_open_is_looked_at_again(house: House) -> None:
    pool = Shared("web1.draft", open_=["web1.draft"])
    assert await sweep(house, pool) is True
    assert pool.left == ["web1.draft"]


class Opened:
    """A pool whose volume is open so many more times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def is_open(self, name: str) -> bool:
        if name != "web1":
            raise NotFound(kind="volume", name=name)
        self.times -= 1
        return self.times >= 0


async def test_a_volume_that_is_let_go_of_in_time_is_waited_for(house: House) -> None:
    pools = cast(dict[str, Pool], {"vms": Opened(2)})
    await volumes.closed(pools, ["vms/web1", "vms/gone"], 60)


async def test_a_volume_that_somebody_keeps_open_is_in_use(house: House) -> None:
    with pytest.raises(InUse, match="did not let go of it within 0 s"):
        await volumes.closed(cast(dict[str, Pool], {"vms": Opened(9)}), ["vms/web1"], 0)


async def test_an_ova_that_nobody_goes_on_with_is_cleared_away_and_a_whole_one_is_not(house: House) -> None:
    await house.volumes("ova_a_vda", "ova_b_vda")
    for name, whole in (("a", False), ("b", True)):
        disk = OVADisk(dev="vda", volume=f"local/ova_{name}_vda", size=1)
        ova = OVA(name=name, whole=whole, vcpus=1, memory=1, disks=(disk,))
        await house.state.store.commit(Create(house.state.paths.ova(name), encode(ova)))
    async with asyncio.timeout(10), house.state.store.watch(children=[house.state.paths.ovas]) as watch:
        clearing = asyncio.create_task(leftovers.keep_clear(house.other, house.pools, "api2"))
        while len(await house.state.ovas()) == 2:
            await watch.wait()
    assert [volume.name for volume in await house.pool.volumes()] == ["ova_b_vda"]
    await house.other.store.aclose()
    await clearing


async def download(house: House) -> Task:
    """A download of a volume that has the snapshot that it took."""
    await house.volumes("web1")
    await house.pool.snapshot("web1", "download-1")
    task = tasks.new(house.state, leftovers.DOWNLOAD, ("volume", "local/web1"), "web1", args={"snapshot": "download-1"})
    await house.state.store.commit(tasks.creation(house.state, task))
    return task


async def test_the_snapshot_of_a_download_goes_with_its_server(house: House) -> None:
    task = await download(house)
    await house.pool.snapshot("web1", "download-2")
    async with volumes.held(house.state, leftovers.download_lock(task), "download", task.id, "a test"):
        await leftovers.end_downloads(house.other, house.pools)
        assert (await status(house, task), len(await house.pool.snapshots("web1"))) == (TaskStatus.RUNNING, 2)
    await leftovers.end_downloads(house.other, house.pools)
    assert [one.name for one in await house.pool.snapshots("web1")] == ["download-2"]
    assert await status(house, task) is TaskStatus.FAILED


async def test_a_download_whose_volume_is_gone_has_failed_all_the_same(house: House) -> None:
    task = await download(house)
    await house.pool.remove_snapshot("web1", "download-1")
    await house.pool.remove("web1")
    await leftovers.end_downloads(house.other, house.pools)
    assert await status(house, task) is TaskStatus.FAILED


async def test_a_snapshot_that_cannot_be_removed_now_is_not_forgotten(house: House) -> None:
    class Away(dict[str, Pool]):
        def __contains__(self, _name: object) -> bool:
            raise PoolUnavailable(name="local", reason="away")

    task = await download(house)
    with pytest.raises(PoolUnavailable):
        await leftovers.end_downloads(house.other, Away())
    assert await status(house, task) is TaskStatus.RUNNING


async def definition(house: House, node: str = "hv1") -> Task:
    """Of web1, with a copy that is there and one that is not."""
    await house.volumes("web1_vda")
    args = {"copies": "local/web1_vda local/web1_vdb", "done": "Added it."}
    task = tasks.new(house.state, leftovers.DEFINITION, ("vm", UUID), "web1", node=node, args=args)
    await house.state.store.commit(tasks.creation(house.state, task))
    return task


async def end_definitions(house: House, here: str = "hv1") -> None:
    await leftovers.end_definitions(house.other, house.pools, here)


async def test_the_copies_of_a_definition_go_with_its_server(house: House) -> None:
    task = await definition(house)
    async with vms.reserved(house.state, house.vm(uuid=UUID), leftovers.holder(task)):
        await end_definitions(house)
        assert (await status(house, task), await names(house)) == (TaskStatus.RUNNING, ["web1_vda"])
    await end_definitions(house)
    assert (await status(house, task), await names(house)) == (TaskStatus.FAILED, [])


async def test_a_definition_that_came_to_its_vm_is_done(house: House) -> None:
    task = await definition(house)
    await house.define("web1", [documents.disk("local/web1_vda")], uuid=UUID)
    await end_definitions(house)
    ended = (await house.state.task(task.id)).record
    assert (ended.status, ended.result, ended.details) == (TaskStatus.DONE, "Added it.", {"uuid": UUID})
    assert await names(house) == ["web1_vda"]


async def test_a_copy_that_somebody_has_taken_stays(house: House) -> None:
    task = await definition(house)
    await house.define("db", [documents.disk("local/web1_vda")])
    await end_definitions(house)
    assert (await status(house, task), await names(house)) == (TaskStatus.FAILED, ["web1_vda"])


async def test_a_copy_that_somebody_took_a_snapshot_of_stays(house: House) -> None:
    task = await definition(house)
    await house.pool.snapshot("web1_vda", "mine")
    await end_definitions(house)
    assert (await status(house, task), await names(house)) == (TaskStatus.FAILED, ["web1_vda"])


async def test_a_copy_that_somebody_works_with_is_looked_at_again(house: House) -> None:
    task = await definition(house)
    async with volumes.reserved(house.state, "local", "web1_vda", "an upload"):
        await end_definitions(house)
    assert (await status(house, task), await names(house)) == (TaskStatus.RUNNING, ["web1_vda"])


async def test_a_copy_that_a_vm_might_have_stays_and_keeps_nothing_else_from_being_ended(house: House) -> None:
    await house.state.store.commit(Create(house.state.paths.vm("broken"), b"{"))
    task, other = await definition(house), await download(house)
    clearing = asyncio.create_task(leftovers.keep_clear(house.other, house.pools, "hv1"))
    with pytest.raises(tasks.TaskProblem, match="during the download"):
        await tasks.wait(house.state, other.id, 10)
    assert (await status(house, task), await names(house)) == (TaskStatus.RUNNING, ["web1", "web1_vda"])
    await house.other.store.aclose()
    await clearing


async def test_copies_in_a_folder_of_another_server_are_left_to_it(house: House) -> None:
    """There may be a volume of the same name in a folder here, which is another one."""
    task = await definition(house, node="hv2")
    await end_definitions(house)
    assert (await status(house, task), await names(house)) == (TaskStatus.RUNNING, ["web1_vda"])


async def test_definitions_are_looked_for_by_themselves(house: House) -> None:
    task = await definition(house)
    clearing = asyncio.create_task(leftovers.keep_clear(house.other, house.pools, "hv1"))
    with pytest.raises(tasks.TaskProblem, match="during the definition"):
        await tasks.wait(house.state, task.id, 10)
    await house.other.store.aclose()
    await clearing


KINDS = [
    (leftovers.SNAPSHOT, ("volume", "local/web1")),
    (leftovers.REVERT, ("volume", "local/web1")),
    (leftovers.RESIZE, ("volume", "local/web1")),
    (leftovers.REMOVAL, ("volume", "local/web1")),
    (leftovers.REMOVAL, ("snapshot", "local/web1@s1")),
    (leftovers.REMOVAL, ("ova", "app")),
    (leftovers.REMOVAL, ("pool", "vms")),
    (leftovers.REMOVAL, ("vm", UUID)),
]


@pytest.mark.parametrize(("kind", "target"), KINDS)
async def test_whatever_goes_on_under_the_lock_of_its_target_ends_with_it(
    house: House, kind: str, target: tuple[str, str]
) -> None:
    task = await begun(house, kind, target)
    async with house.state.store.lock(leftovers.lock_of(task), leftovers.holder(task)):
        assert await leftovers.end_abandoned(house.other) == ({lock_path(leftovers.lock_of(task))}, 0)
    assert await leftovers.end_abandoned(house.other) == (set(), 1)
    assert await status(house, task) is TaskStatus.FAILED
