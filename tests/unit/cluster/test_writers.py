"""Two servers at once: one wins or both are applied; nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from msgspec.structs import replace

from pvc.cluster import devices, networks, power, tags, vms
from pvc.errors import AlreadyExists, Busy, Changed, Conflict, InUse, NotFound, PVCError
from pvc.model import domain
from pvc.model.records import Desired, How, Network, Observed, Power, Tag
from tests.parts import documents
from tests.unit.cluster.house import House

MAC = "52:54:00:00:00:01"


async def outcomes(*work: Awaitable[Any]) -> tuple[list[Any], list[PVCError]]:
    """What succeeded, and what was refused; anything else is a failure of the test."""
    found = await asyncio.gather(*work, return_exceptions=True)
    refused = [one for one in found if isinstance(one, PVCError)]
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, PVCError):
            raise one
    return [one for one in found if not isinstance(one, BaseException)], refused


async def test_a_network_that_two_remove_at_once_is_told_by_its_number(house: House) -> None:
    await networks.add(house.state, Network(vni=100, description="lan", bridge="vmbr100"))
    _done, refused = await outcomes(networks.remove(house.state, 100), networks.remove(house.other, 100))
    assert [str(one) for one in refused] == ['Network "100" was changed by another request meanwhile.']


async def test_of_two_writers_with_one_version_exactly_one_wins(house: House) -> None:
    vm = await house.define()
    mine, yours = await house.state.vm(vm.uuid), await house.other.vm(vm.uuid)
    _done, refused = await outcomes(
        house.state.write_vm(mine, replace(vm, profile="mine")),
        house.other.write_vm(yours, replace(vm, profile="yours")),
    )
    assert [str(one) for one in refused] == ['VM "web1" was changed by another request meanwhile.']
    assert (await house.state.vm(vm.uuid)).record.profile in ("mine", "yours")


async def test_of_twenty_tags_added_at_once_none_is_lost(house: House) -> None:
    vm = await house.define()
    names = [f"tag{number:02}" for number in range(20)]
    states = [house.state, house.other] * 10
    await asyncio.gather(
        *(
            tags.change(state, "web1", "add", Tag(name=name), who="me")
            for state, name in zip(states, names, strict=True)
        )
    )
    assert [tag.name for tag in (await house.state.vm(vm.uuid)).record.tags] == names


async def test_tags_and_states_asked_for_at_once_are_all_applied(house: House) -> None:
    await house.join()
    vm = await house.define()
    await house.publish()
    await asyncio.gather(
        *(tags.change(house.state, "web1", "add", Tag(name=f"t{number}"), who="me") for number in range(5)),
        power.ask(house.other, "web1", "start"),
        *(tags.change(house.other, "web1", "add", Tag(name=f"u{number}"), who="me") for number in range(5)),
    )
    after = (await house.state.vm(vm.uuid)).record
    assert len(after.tags) == 10
    assert (after.desired, after.run) == (Desired.RUNNING, 1)


async def test_ten_starts_at_once_are_one_run(house: House) -> None:
    await house.join()
    vm = await house.define()
    await asyncio.gather(*(power.ask(state, "web1", "start") for state in [house.state, house.other] * 5))
    assert (await house.state.vm(vm.uuid)).record.run == 1


async def test_of_two_definitions_of_one_name_one_is_kept(house: House) -> None:
    one, two = house.vm(), house.vm()
    _done, refused = await outcomes(
        vms.define(house.state, house.pools, one), vms.define(house.other, house.pools, two)
    )
    assert [str(exc) for exc in refused] == ['VM "web1" exists already.']
    [kept] = await house.state.readable_vms()
    assert (await house.state.find_vm("web1")).record == kept.record


async def test_of_two_definitions_on_one_volume_one_is_kept(house: House) -> None:
    await house.volumes("data")
    disks = [documents.disk("local/data")]
    _done, refused = await outcomes(
        vms.define(house.state, house.pools, house.vm("a", disks)),
        vms.define(house.other, house.pools, house.vm("b", disks)),
    )
    assert [type(exc) for exc in refused] in ([InUse], [Busy])
    assert len(await house.state.readable_vms()) == 1


async def test_of_two_attachments_of_one_volume_one_is_done(house: House) -> None:
    await house.volumes("data")
    first, second = await house.define("a"), await house.define("b")
    disk = documents.disk("local/data")
    held = [await house.state.vm(vm.uuid) for vm in (first, second)]
    done, refused = await outcomes(
        *(
            devices.change(house.state, one, devices.ATTACH, disk, when=devices.When.LATER, who="", timeout_s=1)
            for one in held
        )
    )
    assert (len(done), len(refused)) == (1, 1)
    found = [
        disk.volume for held in await house.state.readable_vms() for disk in domain.describe(held.record.xml).disks
    ]
    assert found == ["local/data"]


async def test_of_a_modification_and_an_attachment_at_once_neither_is_lost_unseen(house: House) -> None:
    vm = await house.define()
    held = await house.state.vm(vm.uuid)
    xml = domain.with_device(vm.xml, documents.nic(MAC))
    _done, refused = await outcomes(
        vms.modify(house.state, house.pools, held, xml, restart=False),
        devices.change(
            house.other,
            held,
            devices.ATTACH,
            documents.nic(MAC[:-1] + "2"),
            when=devices.When.LATER,
            who="",
            timeout_s=1,
        ),
    )
    assert [type(exc) for exc in refused] == [Changed]
    assert len(domain.describe((await house.state.vm(vm.uuid)).record.xml).nics) == 1


async def test_a_name_that_is_taken_is_refused_and_nothing_changes(house: House) -> None:
    await house.define()
    before = await house.everything()
    with pytest.raises(AlreadyExists, match='VM "web1" exists already'):
        await house.define()
    assert await house.everything() == before


async def test_a_uuid_that_is_taken_is_refused_and_nothing_changes(house: House) -> None:
    vm = await house.define()
    before = await house.everything()
    with pytest.raises(AlreadyExists, match=f'VM "{vm.uuid}" exists already'):
        await house.define("web2", uuid=vm.uuid)
    assert await house.everything() == before


async def test_a_volume_of_another_vm_is_refused_and_nothing_changes(house: House) -> None:
    await house.volumes("web1")
    await house.define("web1", [documents.disk("local/web1")])
    before = await house.everything()
    with pytest.raises(InUse, match='Volume "local/web1" is in use by VM "web1"'):
        await house.define("web2", [documents.disk("local/web1")])
    assert await house.everything() == before


@pytest.mark.parametrize("volume", ["local/missing", "nowhere/web1"])
async def test_a_volume_that_is_absent_is_refused_and_nothing_changes(house: House, volume: str) -> None:
    before = await house.everything()
    with pytest.raises(NotFound):
        await house.define("web1", [documents.disk(volume)])
    assert await house.everything() == before


async def test_a_volume_that_is_being_written_is_refused_by_name(house: House) -> None:
    await house.volumes("web1")
    async with house.other.store.lock("volume.local.web1", 'upload "7"'):
        with pytest.raises(Busy, match='Volume "local/web1" is busy with upload "7"'):
            await house.define("web1", [documents.disk("local/web1")])
    await house.define("web1", [documents.disk("local/web1")])


async def checked(house: House, *nics: str, disks: tuple[str, ...] = ()) -> str:
    vm = house.vm("web2", [*nics, *disks])
    return await vms.check_xml(house.state, vm.xml, vm.uuid, allow_host_devices=False)


async def test_a_mac_of_another_vm_is_refused(house: House) -> None:
    await house.define("web1", [documents.nic(MAC)])
    with pytest.raises(Conflict, match=f'MAC address "{MAC}" belongs to VM "web1"'):
        await checked(house, documents.nic(MAC.upper()))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([documents.nic(MAC), documents.nic(MAC)], f'has the MAC address "{MAC}" twice'),
        ([documents.nic("52:54")], 'has a MAC address "52:54" that is not one'),
        ([documents.disk("local/a"), documents.disk("local/b")], 'has the device name "vda" twice'),
        ([documents.disk("local/a"), documents.disk("local/a", "vdb")], 'has the volume "local/a" twice'),
        ([documents.disk("local/a").replace("dev='vda'", "")], "has a disk without a device name"),
    ],
)
async def test_xml_that_contradicts_itself_is_refused(house: House, given: list[str], problem: str) -> None:
    with pytest.raises(PVCError) as caught:
        await checked(house, *given)
    assert str(caught.value) == f'Argument "xml" {problem}.'


async def test_one_mac_is_not_given_to_two_vms_at_once(house: House) -> None:
    done, refused = await outcomes(*(house.define(f"web{number}", [documents.nic(MAC)]) for number in range(4)))
    assert len(done) <= 1
    assert {type(one) for one in refused} <= {Busy, Conflict}
    if not done:  # each held up the others
        await house.define("web9", [documents.nic(MAC)])
    assert list(await networks.macs(house.state)) == [MAC]


async def test_every_nic_gets_a_mac_that_nobody_has(house: House) -> None:
    await networks.add(house.state, Network(vni=100, description="lan", bridge="vmbr100"))
    xml = await checked(house, *[documents.nic()] * 3, documents.nic(MAC))
    macs = [nic.mac for nic in domain.describe(xml).nics]
    assert len(set(macs)) == 4
    assert all(mac.startswith("52:54:00:") for mac in macs)


async def test_what_already_holds_is_not_written_again(house: House) -> None:
    await house.join()
    vm = await house.define()
    await power.ask(house.state, "web1", "start")
    before = (await house.state.vm(vm.uuid)).version
    await power.ask(house.state, "web1", "start")
    assert (await house.state.vm(vm.uuid)).version == before


@pytest.mark.parametrize("action", ["restart", "shutdown"])
async def test_a_vm_that_is_off_is_neither_restarted_nor_shut_down(house: House, action: str) -> None:
    await house.join()
    await house.define()
    before = await house.everything()
    with pytest.raises(Conflict, match='VM "web1" is in state "stop", not "start"'):
        await power.ask(house.state, "web1", action)
    assert await house.everything() == before


async def test_a_forced_disable_pulls_the_plug(house: House) -> None:
    vm = house.vm()
    assert power.asked(vm, Observed(), "disable", force=True, deadline_s=None).how is How.STOP
    assert power.asked(vm, Observed(), "disable", force=False, deadline_s=5).how is How.SHUTDOWN
    assert (
        power.asked(vm, Observed(power=Power.OFF), "disable", force=False, deadline_s=None).desired is Desired.DISABLED
    )
