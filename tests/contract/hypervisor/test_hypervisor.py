"""What every hypervisor does, on the fake and on a real libvirt with QEMU."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from pvc.errors import AlreadyExists, HypervisorRefused, HypervisorUnavailable, NotFound, Timeout
from pvc.hypervisor import domxml
from pvc.hypervisor.libvirt import LibvirtHypervisor
from pvc.model import domain
from pvc.model.records import Ending, Power
from tests.contract.hypervisor.harness import (
    SCREEN,
    Ears,
    FakeHarness,
    Harness,
    LibvirtHarness,
    device_xml,
    domain_xml,
    lay_out,
)
from tests.parts.bridge import bridge
from tests.parts.libvirtd import Libvirtd

MAC = "52:54:00:00:00:01"


@pytest.fixture(params=["fake", pytest.param("libvirt", marks=pytest.mark.real)])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    if request.param == "fake":
        yield FakeHarness(tmp_path)
        return
    await asyncio.to_thread(lay_out, tmp_path)
    real = LibvirtHarness(tmp_path, request.getfixturevalue("libvirtd"))
    try:
        yield real
    finally:
        for seen in await real.hypervisor.domains():
            await real.hypervisor.stop(seen.uuid)
        await real.hypervisor.aclose()


def uuid_of(xml: str) -> str:
    return domain.describe(xml).uuid


async def test_a_started_domain_is_listed_as_running_with_the_number_of_its_run(harness: Harness) -> None:
    xml = domain_xml("one", harness.folder, run=7, disk=False)
    await harness.hypervisor.start(xml)
    [seen] = await harness.hypervisor.domains()
    assert (seen.uuid, seen.name, seen.power, seen.run) == (uuid_of(xml), "one", Power.RUNNING, 7)


async def test_starting_what_runs_is_refused_and_changes_nothing(harness: Harness) -> None:
    xml = domain_xml("one", harness.folder, disk=False)
    await harness.hypervisor.start(xml)
    before = await harness.hypervisor.domains()
    with pytest.raises(AlreadyExists):
        await harness.hypervisor.start(domain_xml("one", harness.folder, run=2, disk=False))
    assert await harness.hypervisor.domains() == before


async def test_a_domain_that_is_not_there_is_not_found_by_any_verb(harness: Harness) -> None:
    unknown = "11111111-2222-3333-4444-555555555555"
    for act in (
        harness.hypervisor.shutdown,
        harness.hypervisor.stop,
        harness.hypervisor.xml,
    ):
        with pytest.raises(NotFound) as caught:
            await act(unknown)
        assert caught.value.fields["kind"] == "VM"


async def test_pulling_the_plug_ends_it_and_is_heard_as_destroyed(harness: Harness) -> None:
    ears, xml = Ears(harness.hypervisor), domain_xml("one", harness.folder, disk=False)
    await harness.hypervisor.start(xml)
    await harness.hypervisor.stop(uuid_of(xml))
    assert await harness.hypervisor.domains() == []
    assert (await ears.ending(uuid_of(xml))).ending is Ending.DESTROYED


async def test_a_crash_is_heard_as_a_crash(harness: Harness) -> None:
    ears, xml = Ears(harness.hypervisor), domain_xml("one", harness.folder, disk=False)
    await harness.hypervisor.start(xml)
    harness.crash("one", uuid_of(xml))
    assert (await ears.ending(uuid_of(xml))).ending is Ending.CRASHED
    assert await harness.hypervisor.domains() == []


async def test_a_guest_that_obeys_the_power_button_is_heard_as_powered_off(harness: Harness) -> None:
    ears, xml = Ears(harness.hypervisor), domain_xml("obedient", harness.folder)
    await harness.hypervisor.start(xml)
    await harness.booted("obedient")
    await harness.hypervisor.shutdown(uuid_of(xml))
    assert (await ears.ending(uuid_of(xml))).ending is Ending.POWERED_OFF


async def test_a_device_comes_with_an_alias_and_goes_when_the_guest_lets_go(harness: Harness) -> None:
    xml, device = domain_xml("plugged", harness.folder), device_xml(harness.folder)
    uuid = uuid_of(xml)
    await harness.hypervisor.start(xml)
    await harness.booted("plugged")
    await harness.hypervisor.attach(uuid, device)
    live = domxml.live_device(await harness.hypervisor.xml(uuid), device)
    assert live is not None
    assert domxml.alias_of(live)
    await harness.hypervisor.detach(uuid, live, 60)
    assert domxml.live_device(await harness.hypervisor.xml(uuid), device) is None


async def test_a_disk_grows_with_what_keeps_it_while_the_guest_runs(harness: Harness) -> None:
    xml, device = domain_xml("grown", harness.folder, disk=False), device_xml(harness.folder)
    extra = harness.folder / "local-extra"
    extra.touch()
    await harness.hypervisor.start(xml)
    await harness.hypervisor.attach(uuid_of(xml), device)
    for _ in range(2):  # whoever was cut off asks again
        await harness.hypervisor.resize_disk(uuid_of(xml), "vdb", 64 << 20)
        assert extra.stat().st_size == 64 << 20


async def test_a_disk_that_is_not_there_does_not_grow(harness: Harness) -> None:
    xml = domain_xml("one", harness.folder, disk=False)
    with pytest.raises(NotFound) as caught:
        await harness.hypervisor.resize_disk(uuid_of(xml), "vdb", 64 << 20)
    assert caught.value.fields["kind"] == "VM"
    await harness.hypervisor.start(xml)
    with pytest.raises(HypervisorRefused):
        await harness.hypervisor.resize_disk(uuid_of(xml), "vdb", 64 << 20)


async def test_attaching_a_device_twice_is_refused_with_a_reason(harness: Harness) -> None:
    xml, device = domain_xml("one", harness.folder, disk=False), device_xml(harness.folder)
    await harness.hypervisor.start(xml)
    await harness.hypervisor.attach(uuid_of(xml), device)
    with pytest.raises(HypervisorRefused) as caught:
        await harness.hypervisor.attach(uuid_of(xml), device)
    assert caught.value.fields["reason"]


async def test_a_guest_that_keeps_a_device_is_told_in_time_and_the_device_stays(harness: Harness) -> None:
    xml, device = domain_xml("deaf", harness.folder, disk=False), device_xml(harness.folder)
    uuid = uuid_of(xml)
    await harness.hypervisor.start(xml)
    await harness.hypervisor.attach(uuid, device)
    if isinstance(harness, FakeHarness):
        harness.fake.make_clinging(uuid)
    live = domxml.live_device(await harness.hypervisor.xml(uuid), device)
    assert live is not None
    with pytest.raises(Timeout):
        await harness.hypervisor.detach(uuid, live, 0.5)
    assert domxml.live_device(await harness.hypervisor.xml(uuid), device) is not None


async def test_the_facts_are_those_of_a_machine_that_can_run_guests(harness: Harness) -> None:
    facts = await harness.hypervisor.facts()
    assert facts.domain_type in ("kvm", "qemu")
    assert facts.reason.endswith(".")
    assert facts.cpu_count > 0
    assert 0 < facts.memory_free <= facts.memory_total
    assert facts.os and facts.kernel and facts.arch
    assert facts.qemu_user == (None if isinstance(harness, FakeHarness) else (0, 0))


async def test_what_every_guest_uses_is_told_in_one_answer(harness: Harness) -> None:
    assert await harness.hypervisor.use() == {}
    one, two = domain_xml("one", harness.folder), domain_xml("two", harness.folder, disk=False)
    await harness.hypervisor.start(one)
    await harness.booted("one")
    await harness.hypervisor.start(two)
    if isinstance(harness, FakeHarness):
        harness.fake.spend(uuid_of(one), 1)
    used = await harness.hypervisor.use()
    assert set(used) == {uuid_of(one), uuid_of(two)}
    first = used[uuid_of(one)]
    assert set(first.disks) == {"vda"}
    assert (first.disks["vda"].rd_bytes or 0) > 0
    assert (first.cpu.cpu_time or 0) > 0
    assert (first.memory.rss or 0) > 0
    assert (first.memory.actual or 0) >> 10 in (64, 192)
    assert used[uuid_of(two)].disks == {}


async def test_what_a_nic_carries_is_told_under_the_name_that_the_live_document_gives_it(harness: Harness) -> None:
    nic = f"<interface type='bridge'><mac address='{MAC}'/><source bridge='pvcuse0'/><model type='virtio'/></interface>"
    xml = domain_xml("one", harness.folder, disk=False, more=nic)
    with bridge("pvcuse0") if isinstance(harness, LibvirtHarness) else nullcontext():
        await harness.hypervisor.start(xml)
        [used] = (await harness.hypervisor.use()).values()
        live = domxml.live(await harness.hypervisor.xml(uuid_of(xml)))
        assert [live.macs[name] for name in used.nics] == [MAC]
        assert [nic.rd_bytes is not None for nic in used.nics.values()] == [True]


async def test_the_screen_of_a_guest_has_a_port_and_a_guest_without_one_none(harness: Harness) -> None:
    with_screen, without = domain_xml("one", harness.folder, disk=False, more=SCREEN), domain_xml("two", harness.folder)
    for xml in (with_screen, without):
        await harness.hypervisor.start(xml)
    shown = domxml.live(await harness.hypervisor.xml(uuid_of(with_screen)))
    assert shown.vnc is not None
    assert shown.vnc[0] == "127.0.0.1"
    assert int(shown.vnc[1]) >= 5900
    assert domxml.live(await harness.hypervisor.xml(uuid_of(without))).vnc is None


@pytest.mark.real
async def test_libvirt_that_is_not_there_is_unavailable_and_says_why(tmp_path: Path) -> None:
    hypervisor = LibvirtHypervisor(f"qemu+unix:///system?socket={tmp_path}/none", "auto")
    with pytest.raises(HypervisorUnavailable) as caught:
        await hypervisor.domains()
    assert "none" in str(caught.value)
    await hypervisor.aclose()


@pytest.mark.real
async def test_a_restart_of_libvirtd_is_heard_and_the_guests_are_found_again(tmp_path: Path) -> None:
    await asyncio.to_thread(lay_out, tmp_path)
    with Libvirtd() as daemon:
        harness = LibvirtHarness(tmp_path, daemon)
        ears, xml = Ears(harness.hypervisor), domain_xml("one", tmp_path, run=3, disk=False)
        await harness.hypervisor.start(xml)
        await asyncio.to_thread(daemon.kill)
        with pytest.raises(HypervisorUnavailable):
            await harness.hypervisor.domains()
        await asyncio.to_thread(daemon.start)
        [seen] = await harness.hypervisor.domains()
        assert (seen.name, seen.run) == ("one", 3)
        async with asyncio.timeout(30):
            while not any(event.uuid == "" for event in ears.heard):
                await asyncio.sleep(0)
        with suppress(NotFound):  # libvirtd may still be taking it up again, and drop it when its plug is pulled
            await harness.hypervisor.stop(seen.uuid)
        await harness.hypervisor.aclose()
