"""VMs renamed, stopped and forgotten, with their volumes or without."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from pvc.cluster import tags, vms
from pvc.cluster.state import State
from pvc.cluster.tasks import unheard
from pvc.errors import AlreadyExists, Busy, Conflict, InUse, InvalidInput, NotFound, PoolUnavailable
from pvc.model import domain
from pvc.model.records import VM, Desired, How, Observed, Power, Tag
from pvc.storage.base import Heard, Pool
from pvc.storage.directory import DirectoryPool
from tests.parts import documents
from tests.unit.cluster.house import NODE, House

OFF, RUNS = Observed(power=Power.OFF), Observed(power=Power.RUNNING, run=1)


async def with_disks(house: House) -> VM:
    await house.volumes("web1", "web1_data", "shared")
    disks = [documents.disk(f"local/{name}", dev) for name, dev in (("web1", "vda"), ("web1_data", "vdb"))]
    vm = await house.define("web1", [*disks, documents.disk("local/shared", "vdc")])
    await house.join()
    await house.publish(**{vm.uuid: OFF})
    return vm


async def names(house: House) -> list[str]:
    return [volume.name for volume in await house.pool.volumes()]


async def undefine(house: House, name: str, pools: Mapping[str, Pool] | None = None) -> list[str]:
    """As the server does it; returns the volumes that went with it."""
    async with vms.reserved_removable(house.state, name, "a removal", pools) as removal:
        await vms.undefine(house.state, pools or {}, removal, unheard)
    return removal.volumes


class Stubborn:
    """A pool that does not rename or remove one of its volumes."""

    def __init__(self, pool: DirectoryPool, stays: str) -> None:
        self._pool, self._stays = pool, stays

    def __getattr__(self, name: str) -> object:
        return getattr(self._pool, name)

    async def rename(self, name: str, new_name: str) -> None:
        if name == self._stays:
            raise PoolUnavailable(name="local", reason="it is stubborn")
        await self._pool.rename(name, new_name)

    async def remove(self, name: str, *heard: Heard) -> None:
        if name == self._stays:
            raise PoolUnavailable(name="local", reason="it is stubborn")
        await self._pool.remove(name, *heard)


async def test_a_vm_is_renamed_with_the_volumes_that_bear_its_name(house: House) -> None:
    vm = await with_disks(house)
    await vms.rename(house.state, house.pools, "web1", "db1")
    after = (await house.state.find_vm("db1")).record
    assert (after.uuid, after.name, domain.describe(after.xml).name) == (vm.uuid, "db1", "db1")
    assert [disk.volume for disk in domain.describe(after.xml).disks] == ["local/db1", "local/db1_data", "local/shared"]
    assert await names(house) == ["db1", "db1_data", "shared"]
    with pytest.raises(NotFound):
        await house.state.find_vm("web1")
    await house.define("web1")


async def test_a_rename_whose_second_volume_stays_is_undone(house: House) -> None:
    await with_disks(house)
    before = await house.everything()
    pools = {"local": Stubborn(house.pool, "web1_data")}
    with pytest.raises(PoolUnavailable):
        await vms.rename(house.state, pools, "web1", "db1")  # type: ignore[arg-type]
    assert await house.everything() == before


async def test_a_rename_onto_a_volume_that_is_there_is_undone(house: House) -> None:
    await with_disks(house)
    await house.volumes("db1_data")
    before = await house.everything()
    with pytest.raises(AlreadyExists, match='Volume "local/db1_data" exists already'):
        await vms.rename(house.state, house.pools, "web1", "db1")
    assert await house.everything() == before


async def test_a_rename_onto_a_vm_that_is_there_changes_nothing(house: House) -> None:
    await with_disks(house)
    await house.define("db1")
    before = await house.everything()
    with pytest.raises(AlreadyExists, match='VM "db1" exists already'):
        await vms.rename(house.state, house.pools, "web1", "db1")
    assert await house.everything() == before


async def test_a_rename_that_makes_a_volume_name_too_long_changes_nothing(house: House) -> None:
    name = "a_" + "x" * 110
    await house.volumes(name)
    vm = await house.define("a", [documents.disk(f"local/{name}")])
    await house.join()
    await house.publish(**{vm.uuid: OFF})
    before = await house.everything()
    with pytest.raises(InvalidInput, match="must be 1 to 120 letters"):
        await vms.rename(house.state, house.pools, "a", "b" * 60)
    assert await house.everything() == before


async def test_two_renames_to_one_name_leave_one_of_them(house: House) -> None:
    one, two = await house.define("a"), await house.define("b")
    await house.join()
    await house.publish(**{one.uuid: OFF, two.uuid: OFF})
    found = await asyncio.gather(
        *(vms.rename(house.state, house.pools, name, "c") for name in ("a", "b")), return_exceptions=True
    )
    assert [type(one) for one in found if isinstance(one, BaseException)] == [AlreadyExists]
    assert len({vm.record.name for vm in await house.state.readable_vms()}) == 2


@pytest.mark.parametrize(
    ("desired", "seen"), [(Desired.RUNNING, OFF), (Desired.STOPPED, RUNS), (Desired.RUNNING, RUNS)]
)
async def test_a_vm_that_runs_or_should_is_not_renamed(house: House, desired: Desired, seen: Observed) -> None:
    vm = await with_disks(house)
    held = await house.state.vm(vm.uuid)
    await house.state.write_vm(held, replace(vm, desired=desired, run=1))
    await house.publish(**{vm.uuid: seen})
    before = await house.everything()
    with pytest.raises(Conflict, match='VM "web1" is not stopped'):
        await vms.rename(house.state, house.pools, "web1", "db1")
    assert await house.everything() == before


async def test_a_vm_held_by_a_task_is_neither_renamed_nor_modified_nor_removed(house: House) -> None:
    vm = await with_disks(house)
    await house.state.write_vm(await house.state.vm(vm.uuid), replace(vm, task="t1"))
    held, before = await house.state.vm(vm.uuid), await house.everything()
    for change in (
        vms.rename(house.state, house.pools, "web1", "db1"),
        vms.modify(house.state, house.pools, held, vm.xml, restart=False),
        undefine(house, "web1"),
        undefine(house, "web1", house.pools),
    ):
        with pytest.raises(Busy, match='VM "web1" is busy with task "t1"'):
            await change
    assert await house.everything() == before


async def test_a_vm_is_undefined_and_its_volumes_stay(house: House) -> None:
    await with_disks(house)
    assert await undefine(house, "web1") == []
    assert await house.state.vms() == []
    assert await names(house) == ["shared", "web1", "web1_data"]
    await house.define("web1")


async def test_a_vm_is_removed_with_its_volumes(house: House) -> None:
    await with_disks(house)
    removed = await undefine(house, "web1", house.pools)
    assert removed == ["local/shared", "local/web1", "local/web1_data"]
    assert await names(house) == []


async def test_a_removal_that_a_snapshot_forbids_is_refused_before_anything_is_done(house: House) -> None:
    vm = await with_disks(house)
    await house.state.write_vm(await house.state.vm(vm.uuid), replace(vm, desired=Desired.RUNNING, run=1))
    await house.publish(**{vm.uuid: RUNS})
    await house.pool.snapshot("web1_data", "before")
    before = await house.everything()
    with pytest.raises(Conflict, match='Volume "local/web1_data" has snapshots'):
        await undefine(house, "web1", house.pools)
    assert await house.everything() == before


async def test_a_removal_of_a_volume_that_another_vm_has_is_refused_before_anything_is_done(house: House) -> None:
    vm = await with_disks(house)
    other = house.vm("web2")
    stolen = replace(other, xml=domain.with_device(other.xml, documents.disk("local/shared", "vda")))
    await house.define("web2")
    held = await house.state.find_vm("web2")
    await house.state.write_vm(held, replace(held.record, xml=stolen.xml))
    before = await house.everything()
    with pytest.raises(InUse, match='Volume "local/shared" is in use by VM "web2"'):
        await undefine(house, vm.name, house.pools)
    assert await house.everything() == before


async def test_a_volume_that_is_gone_already_does_not_keep_its_vm(house: House) -> None:
    await with_disks(house)
    await house.pool.remove("web1_data")
    assert await undefine(house, "web1", house.pools) == ["local/shared", "local/web1"]


async def test_a_volume_that_the_pool_does_not_remove_is_named(house: House) -> None:
    await with_disks(house)
    pools = {"local": Stubborn(house.pool, "web1")}
    with pytest.raises(Conflict) as caught:
        await undefine(house, "web1", pools)  # type: ignore[arg-type]
    assert str(caught.value) == (
        'VM "web1" is removed, but volume "local/web1" stays: Pool "local" is not available: it is stubborn.'
    )
    assert await names(house) == ["web1"]


async def test_a_running_vm_is_stopped_before_it_is_forgotten(house: House) -> None:
    vm = await with_disks(house)
    await house.state.write_vm(await house.state.vm(vm.uuid), replace(vm, desired=Desired.RUNNING, run=1))
    await house.publish(**{vm.uuid: RUNS})
    removal = asyncio.create_task(undefine(house, "web1"))
    async with house.other.store.watch(house.other.paths.vm(vm.uuid)) as watch:
        while (await house.other.vm(vm.uuid)).record.how is not How.STOP:
            await watch.wait()
    assert not removal.done()
    await house.publish(**{vm.uuid: OFF})
    await removal
    assert await house.state.vms() == []


async def test_a_vm_that_may_run_on_a_silent_node_is_not_forgotten(house: House) -> None:
    await house.define()
    before = await house.everything()
    with pytest.raises(Conflict, match=f'may run on node "{NODE}", which does not answer'):
        await undefine(house, "web1")
    assert await house.everything() == before


async def test_a_system_tag_and_a_protected_one_stay(house: House) -> None:
    vm = await house.define()
    kept = (Tag(name="a", type="system"), Tag(name="b", protected=True))
    await house.state.write_vm(await house.state.vm(vm.uuid), replace(vm, tags=kept))
    before = await house.everything()
    for action, name, problem in (
        ("remove", "a", "is not a user tag"),
        ("add", "a", "is not a user tag"),
        ("remove", "b", "is protected"),
        ("add", "b", "is protected"),
    ):
        with pytest.raises(Conflict, match=problem):
            await tags.change(house.state, "web1", action, Tag(name=name), who="me")
    with pytest.raises(NotFound, match='has no tag "c"'):
        await tags.change(house.state, "web1", "remove", Tag(name="c"), who="me")
    assert await house.everything() == before


async def test_a_vm_is_found_by_name_and_by_uuid(house: House) -> None:
    vm = await house.define()
    state: State = house.state
    for name in ("web1", vm.uuid, vm.uuid.replace("-", ""), vm.uuid.upper()):
        assert (await state.find_vm(name)).record == vm
    for name in ("web2", "", "../web1", "web1/../web1", "a\ud800", state.new_uuid()):
        with pytest.raises(NotFound):
            await state.find_vm(name)
