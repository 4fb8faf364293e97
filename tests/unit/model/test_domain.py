"""Domain XML read, described and edited."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvc.errors import InvalidXML
from pvc.model import domain
from tests.parts import documents

UUID = "5d3ec1b0-0000-4000-8000-000000000001"
MAC = "52:54:00:00:00:01"

devs = st.lists(st.sampled_from([f"vd{letter}" for letter in string.ascii_lowercase]), unique=True)
macs = st.lists(st.integers(0, 255).map(lambda n: f"52:54:00:00:00:{n:02x}"), unique=True, max_size=8)


def stored(*devices: str, more: str = "") -> str:
    return domain.normalise(documents.vm(devices=devices, more=more), new_uuid=UUID)


@st.composite
def vms(draw: st.DrawFn) -> str:
    disks = [documents.disk(f"local/{dev}", dev) for dev in draw(devs)]
    nics = [documents.nic(mac) for mac in draw(macs)]
    return stored(*draw(st.permutations(["<rng/>", "<!-- x -->", "<serial type='pty'/>", *disks, *nics])))


def test_what_is_stored_has_the_name_and_uuid_once_and_first() -> None:
    text = domain.normalise("<domain><memory>9999</memory><name>a</name><name>b</name></domain>", new_uuid=UUID)
    assert [node.tag for node in domain.parse(text)] == ["name", "uuid", "memory"]
    assert domain.describe(text).name == "a"
    assert domain.describe(text).uuid == UUID


def test_another_name_may_be_given() -> None:
    assert domain.describe(domain.normalise(documents.vm("a"), new_uuid=UUID, name="b")).name == "b"


def test_a_uuid_without_dashes_is_written_with_them() -> None:
    assert domain.describe(stored().replace(UUID, UUID.replace("-", "").upper())).uuid != UUID
    again = domain.normalise(documents.vm(uuid=UUID.replace("-", "").upper()), new_uuid="x")
    assert domain.describe(again).uuid == UUID


@given(vms())
def test_storing_what_is_stored_changes_nothing(text: str) -> None:
    assert domain.normalise(text, new_uuid="x") == text


def test_a_vm_is_described_in_the_words_of_the_api() -> None:
    text = stored(documents.disk("local/web1"), documents.nic(MAC.upper()), "<console type='pty'/>", "<graphics/>")
    found = domain.describe(text)
    assert (found.name, found.memory, found.vcpu, found.topology) == ("web1", 64, 1, "N/A")
    assert (found.type, found.arch, found.machine, found.console) == ("hvm", "x86_64", "q35", "pty")
    assert found.disks == (domain.Disk("volume", "disk", "local/web1", "local/web1", "vda", "virtio"),)
    assert found.nics == (domain.Nic("bridge", MAC, "vmbr100", "virtio"),)


@pytest.mark.parametrize(
    ("memory", "mib"),
    [
        ("<memory>65536</memory>", 64),
        ("<memory unit='KiB'>65536</memory>", 64),
        ("<memory unit='b'>67108864</memory>", 64),
        ("<memory unit='G'>1</memory>", 1024),
        ("<memory unit='GB'>1</memory>", 953),
    ],
)
def test_memory_is_counted_as_libvirt_counts(memory: str, mib: int) -> None:
    text = documents.vm().replace("<memory unit='MiB'>64</memory>", memory)
    assert domain.describe(text).memory == mib


@given(vms(), st.sampled_from([documents.disk("local/new", "sda"), documents.nic("52:54:00:ff:00:01")]))
def test_a_device_added_and_removed_leaves_the_same_document(text: str, device: str) -> None:
    added = domain.with_device(text, device)
    assert added != text
    assert domain.find_device(domain.parse(added), domain.parse_device(device)) is not None
    assert domain.with_device(added, device) == added
    assert domain.without_device(added, device) == text
    assert domain.without_device(text, device) == text


def test_a_device_added_to_a_vm_without_devices_is_in_it() -> None:
    text = "<domain><name>a</name></domain>"
    assert [disk.dev for disk in domain.disks(domain.parse(domain.with_device(text, documents.disk("local/a"))))] == [
        "vda"
    ]


def test_a_nic_is_found_by_its_mac_in_either_case() -> None:
    text = stored(documents.nic("52:54:00:AB:CD:EF"))
    assert domain.describe(domain.without_device(text, documents.nic("52:54:00:ab:cd:ef"))).nics == ()


@given(devs, st.sampled_from(["virtio", "scsi", "sata", "usb", "ide"]))
def test_the_next_name_is_free_and_stays_so_until_it_is_taken(taken: list[str], bus: str) -> None:
    text = stored(*(documents.disk(f"local/{dev}", dev) for dev in taken))
    if bus == "virtio" and len(taken) == 26:
        with pytest.raises(InvalidXML, match="no device name is left"):
            domain.next_dev(text, bus)
        return
    dev = domain.next_dev(text, bus)
    assert dev == domain.next_dev(text, bus)
    assert dev not in taken
    again = domain.with_device(text, documents.disk("local/x", dev))
    assert domain.next_dev(domain.without_device(again, documents.disk("local/x", dev)), bus) == dev
    if len({*taken, dev}) < 26:
        assert domain.next_dev(again, bus) != dev


def test_the_lowest_free_name_comes_next() -> None:
    text = stored(documents.disk("local/a", "vda"), documents.disk("local/c", "vdc"))
    assert domain.next_dev(text, "virtio") == "vdb"
    assert domain.next_dev(text, "sata") == "sda"


def test_a_bus_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidXML, match='"floppy" is not one of the buses "virtio"'):
        domain.next_dev(stored(), "floppy")


def test_every_nic_gets_a_mac_and_keeps_it() -> None:
    text = domain.with_macs(
        stored(documents.nic(), documents.nic("52:54:00:00:00:09"), documents.nic()), iter([MAC, "b"])
    )
    assert [nic.mac for nic in domain.describe(text).nics] == [MAC, "52:54:00:00:00:09", "b"]
    assert domain.with_macs(text, iter([])) == text


def test_renaming_changes_the_name_and_the_volumes_that_are_told() -> None:
    rbd = "<disk type='network'><source protocol='rbd' name='vms/web1_b'/><target dev='vdc'/></disk>"
    text = stored(documents.disk("local/web1"), documents.disk("local/data", "vdb"), rbd)
    new = domain.renamed(text, "db1", {"local/web1": "local/db1", "vms/web1_b": "vms/db1_b"})
    found = domain.describe(new)
    assert found.name == "db1"
    assert [disk.volume for disk in found.disks] == ["local/db1", "local/data", "vms/db1_b"]
    back = domain.renamed(new, "web1", {"local/db1": "local/web1", "vms/db1_b": "vms/web1_b"})
    assert back == text


@given(vms())
def test_renaming_there_and_back_leaves_the_same_document(text: str) -> None:
    there = {disk.volume: f"{disk.volume}-new" for disk in domain.describe(text).disks}
    back = {new: old for old, new in there.items()}
    assert domain.renamed(domain.renamed(text, "other", there), "web1", back) == text


def test_the_stored_form_of_a_disk_and_a_nic_is_read_back() -> None:
    disk = domain.disk(domain.parse_device(domain.disk_xml("local/web1", "vdb", "virtio")))
    assert (disk.volume, disk.dev, disk.bus) == ("local/web1", "vdb", "virtio")
    nic = domain.nic(domain.parse_device(domain.nic_xml("vmbr1", MAC, "e1000e")))
    assert (nic.source, nic.mac, nic.model) == ("vmbr1", MAC, "e1000e")


@pytest.mark.parametrize(("dev", "bus"), [("vdb", "virtio"), ("sda", "scsi"), ("hdc", "ide"), ("xyz", "virtio")])
def test_a_device_name_has_a_usual_bus(dev: str, bus: str) -> None:
    assert domain.bus_of(dev) == bus
