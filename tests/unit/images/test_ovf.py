"""Descriptors of strangers: one machine in our terms, or one sentence."""

from __future__ import annotations

import pytest

from pvc.errors import InvalidImage
from pvc.images import ovf
from pvc.images.ovf import Disk, Nic
from pvc.units import GIB, MIB
from tests.parts.ova import (
    CPU,
    MEMORY,
    QCOW2,
    VMDK,
    described,
    descriptor,
    disk_entry,
    disk_item,
    file_reference,
    item,
    nic_item,
)

FILE, DISK, DISK_ITEM = file_reference("a.vmdk", 1), disk_entry(1, "4096", VMDK), disk_item("disk1", 10)


def test_a_machine_is_read_in_our_terms() -> None:
    found = ovf.parse(described(("a.vmdk", VMDK), ("b.qcow2", QCOW2), networks=["VM Network", "dmz"]))
    assert (found.title, found.vcpus, found.memory, found.efi) == ("An appliance", 2, 256, False)
    assert found.disks == (Disk("a.vmdk", 4 * MIB, "vmdk"), Disk("b.qcow2", 4 * MIB, "qcow2"))
    assert found.nics == (Nic("VM Network", "E1000"), Nic("dmz", "E1000"))
    assert found.files == {"a.vmdk": None, "b.qcow2": None}


@pytest.mark.parametrize(
    ("capacity", "unit", "size"),
    [
        ("20", "byte * 2^30", 20 * GIB),
        ("20", "byte*2^30", 20 * GIB),
        ("512", "byte * 1024 * 1024", 512 * MIB),
        ("3", "GigaBytes", 3 * GIB),
        ("7", "byte", 7),
        ("4096", "", 4096),
        ("2", "byte * 10^6", 2_000_000),
    ],
)
def test_capacities_have_units(capacity: str, unit: str, size: int) -> None:
    disk = disk_entry(1, capacity, VMDK, f'ovf:capacityAllocationUnits="{unit}"')
    assert ovf.parse(descriptor([FILE], [disk], [DISK_ITEM])).disks[0].size == size


@pytest.mark.parametrize("word", ["MegaBytes", "byte * 2^20"])
def test_memory_has_a_unit(word: str) -> None:
    memory = item(4, "512", f"<rasd:AllocationUnits>{word}</rasd:AllocationUnits>")
    assert ovf.parse(descriptor([FILE], [DISK], [DISK_ITEM], basics=[CPU, memory])).memory == 512


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("http://www.vmware.com/specifications/vmdk.html#sparse", "vmdk"),
        ("http://go.microsoft.com/fwlink/?LinkId=137171", "vpc"),
        ("http://www.virtualbox.org/ovf/virtualbox/vdi.html", "vdi"),
        ("http://technet.microsoft.com/vhdx", "vhdx"),
    ],
)
def test_a_format_is_known_by_its_uri(uri: str, name: str) -> None:
    assert ovf.parse(described(("a", uri))).disks[0].format == name


def test_disks_come_as_their_controllers_and_addresses_have_them() -> None:
    def at(disk: str, number: int, parent: int, address: int) -> str:
        place = f"<rasd:Parent>{parent}</rasd:Parent><rasd:AddressOnParent>{address}</rasd:AddressOnParent>"
        return disk_item(disk, number, place)

    files = [file_reference(f"{number}.vmdk", number) for number in (1, 2, 3)]
    disks = [disk_entry(number, "4096", VMDK) for number in (1, 2, 3)]
    items = [item(6, number=5), item(6, number=6), at("disk1", 20, 6, 0), at("disk2", 21, 5, 1), at("disk3", 22, 5, 0)]
    assert [disk.file for disk in ovf.parse(descriptor(files, disks, items)).disks] == ["3.vmdk", "2.vmdk", "1.vmdk"]


def test_a_disk_without_a_file_is_empty() -> None:
    found = ovf.parse(descriptor([], [disk_entry(1, "4096", "")], [DISK_ITEM]))
    assert found.disks == (Disk("", 4096, ""),)


def test_what_is_only_for_another_deployment_is_not_taken() -> None:
    options = (
        '<DeploymentOptionSection><Configuration ovf:id="small"/><Configuration ovf:id="large" ovf:default="true"/>'
    )
    large = CPU.replace("<Item>", '<Item ovf:configuration="large">').replace(">2<", ">8<")
    small = CPU.replace("<Item>", '<Item ovf:configuration="small">').replace(">2<", ">4<")
    bound = CPU.replace("<Item>", '<Item ovf:bound="max">').replace(">2<", ">9<")
    text = descriptor([FILE], [DISK], [large, small, bound, DISK_ITEM]).decode()
    with_options = text.replace("<DiskSection>", f"{options}</DeploymentOptionSection><DiskSection>")
    assert ovf.parse(with_options.encode()).vcpus == 8


def test_a_machine_with_efi_is_seen() -> None:
    more = '<vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>'
    assert ovf.parse(descriptor([FILE], [DISK], [DISK_ITEM], more=more)).efi


def test_a_name_in_an_address_is_a_name() -> None:
    assert ovf.parse(described(("my%20disk.vmdk", VMDK))).disks[0].file == "my disk.vmdk"


BILLION = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10 if n else 'lol'}'>" for n in range(10))
HOSTILE: dict[str, tuple[bytes, str]] = {
    "an entity": (descriptor(before="<!DOCTYPE x [<!ENTITY e 'v'>]>"), "has a DOCTYPE, which pvc does not accept"),
    "a billion laughs": (descriptor(before=f"<!DOCTYPE x [{BILLION}]>", more="&a9;"), "has a DOCTYPE"),
    "a file of the host": (
        descriptor(before='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', more="&e;"),
        "has a DOCTYPE",
    ),
    "a DTD from elsewhere": (descriptor(before='<!DOCTYPE x SYSTEM "http://localhost/x.dtd">'), "has a DOCTYPE"),
    "a DOCTYPE in UTF-16": (
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY e "v">]><x/>'.encode("utf-16"),
        "has a DOCTYPE",
    ),
    "an entity that nobody declared": (descriptor(more="&e;"), "is not well-formed XML"),
    "an encoding that is none": (b'<?xml version="1.0" encoding="klingon"?><x/>', "is not well-formed XML"),
    "nothing": (b"", "is not well-formed XML"),
    "no XML": (b"\x89PNG\r\n", "is not well-formed XML"),
    "something behind the end": (descriptor() + b"<x/>", "is not well-formed XML"),
    "too deep": (b"<a>" * 100 + b"</a>" * 100, "too many in each other"),
    "too many": (b"<a>" + b"<b/>" * 30_000 + b"</a>", "too many elements"),
    "another document": (b"<domain/>", 'begins with "domain", not with an OVF envelope'),
    "no machine": (descriptor().replace(b"VirtualSystem", b"NoSystem"), "describes 0 machines, and not one"),
    "two machines": (
        descriptor().replace(b"</Envelope>", b"<VirtualSystem/></Envelope>"),
        "describes 2 machines, and not one",
    ),
    "no hardware": (descriptor().replace(b"VirtualHardwareSection", b"Section"), "describes no hardware"),
    "no CPU": (descriptor([FILE], [DISK], [DISK_ITEM], basics=[MEMORY]), "does not tell its CPUs"),
    "no memory": (descriptor([FILE], [DISK], [DISK_ITEM], basics=[CPU]), "does not tell its memory"),
    "a million CPUs": (descriptor(basics=[item(3, "1000000"), MEMORY]), "asks for CPUs that cannot be: 1000000"),
    "words for CPUs": (descriptor(basics=[item(3, "two"), MEMORY]), 'has no number for its CPUs: "two"'),
    "too many digits": (descriptor(basics=[item(3, "9" * 5000), MEMORY]), "has no number for its CPUs"),
    "no disk": (descriptor(), "has 0 disks"),
    "an unknown disk": (descriptor(items=[disk_item("disk9", 10)]), "has a disk that it does not describe"),
    "a disk twice": (descriptor([FILE], [DISK], [DISK_ITEM, disk_item("disk1", 11)]), "has the same disk twice"),
    "a file for two disks": (
        descriptor([FILE], [DISK, DISK.replace("disk1", "disk2")], [disk_item("disk1", 10), disk_item("disk2", 11)]),
        "has two disks in the same file",
    ),
    "a disk in no file": (descriptor([], [DISK], [DISK_ITEM]), "has a disk in a file that it does not name"),
    "a difference": (
        descriptor([FILE], [disk_entry(1, "4096", VMDK, 'ovf:parentRef="disk0"')], [DISK_ITEM]),
        "the difference to another",
    ),
    "a size of nothing": (descriptor([FILE], [disk_entry(1, "0", VMDK)], [DISK_ITEM]), "has a disk of 0 bytes"),
    "a size that overflows": (
        descriptor([FILE], [disk_entry(1, "9" * 18, VMDK, 'ovf:capacityAllocationUnits="TeraBytes"')], [DISK_ITEM]),
        "which cannot be",
    ),
    "a property for a size": (
        descriptor([FILE], [disk_entry(1, "${size}", VMDK)], [DISK_ITEM]),
        'has no number for the capacity of a disk: "${size}"',
    ),
    "a unit that is none": (
        descriptor([FILE], [disk_entry(1, "1", VMDK, 'ovf:capacityAllocationUnits="furlong"')], [DISK_ITEM]),
        'has a unit that is not known here: "furlong"',
    ),
    "an unknown format": (described(("a", "http://localhost/floppy")), "a disk of a format that is not known here"),
    "an absolute file": (described(("/etc/passwd", VMDK)), "not beside it in the archive: "),
    "a file above": (described(("../a.vmdk", VMDK)), "not beside it in the archive: "),
    "a file above in disguise": (described(("%2e%2e/a.vmdk", VMDK)), "not beside it in the archive: "),
    "a file of the network": (described(("http://localhost/a.vmdk", VMDK)), "not beside it in the archive: "),
    "a file by URI": (described(("file:///etc/passwd", VMDK)), "not beside it in the archive: "),
    "a file twice": (described(("a.vmdk", VMDK), ("a.vmdk", VMDK)), 'names the file "a.vmdk" twice'),
    "pieces": (
        descriptor([file_reference("a.vmdk", 1, 'ovf:chunkSize="10"')], [DISK], [DISK_ITEM]),
        "is cut into pieces",
    ),
    "a hundred NICs": (
        descriptor([FILE], [DISK], [DISK_ITEM, *(nic_item("lan", 100 + number) for number in range(100))]),
        "has 100 NICs",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_descriptor_is_refused_with_one_sentence(name: str) -> None:
    data, words = HOSTILE[name]
    with pytest.raises(InvalidImage) as exc:
        ovf.parse(data)
    assert words in str(exc.value)
    assert str(exc.value).startswith("The image cannot be accepted: its descriptor ")
    assert str(exc.value).endswith(".")


@pytest.mark.timeout(20)
def test_a_unit_of_a_hundred_thousand_factors_is_not_worked_out() -> None:
    unit = "byte" + "* 999999^99" * 50_000
    data = descriptor([FILE], [disk_entry(1, "1", VMDK, f'ovf:capacityAllocationUnits="{unit}"')], [DISK_ITEM])
    with pytest.raises(InvalidImage, match="has a unit that is not known here"):
        ovf.parse(data)
