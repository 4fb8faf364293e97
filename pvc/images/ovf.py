"""An OVF descriptor: which machine it describes, in terms of this cluster. Pure.

Source: DMTF DSP0243 (OVF 1.1 and 2.1). What it says of other deployments than its default one is not taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from pvc.errors import InvalidImage
from pvc.images import xmltree
from pvc.images.tar import problem_with_name, shown
from pvc.units import MIB

DESCRIPTOR_BYTES = MIB
MOST_DISKS, MOST_NICS = 24, 32

_CPU, _MEMORY, _ETHERNET, _DISKS = "3", "4", "10", ("17", "31")
_MOST_CPUS, _MOST_MEMORY, _LARGEST_DISK = 4096, 1 << 50, 1 << 60

# What stands in the URI of a disk's format, and the format.
_FORMATS = {"vmdk": "vmdk", "qcow": "qcow2", "linkid=137171": "vpc", "vhdx": "vhdx", "vhd": "vpc", "vdi": "vdi"}
_FORMATS |= {"virtualbox": "vdi", "raw": "raw"}

_UNITS = {"": 0, "byte": 0, "bytes": 0, "kilobytes": 10, "megabytes": 20, "gigabytes": 30, "terabytes": 40}
_FACTOR = re.compile(r"\*\s*([0-9]{1,6})\s*(?:\^\s*([0-9]{1,2}))?\s*")
_HOST_DISK = re.compile(r"(?:ovf:/{1,2})?/?disk/(.+)")
_NUMBER, _ADDRESS = re.compile(r"\s*[0-9]{1,18}\s*", re.ASCII), re.compile(r"[0-9]{1,4}")
_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Disk:
    """file: name of the archive's member, "" for an empty disk. size: bytes that a guest sees. format: as
    images.formats names it, "" of an empty disk.
    """

    file: str
    size: int
    format: str


@dataclass(frozen=True, slots=True)
class Nic:
    """network: as the descriptor calls it. model: as it names it, "" where it does not."""

    network: str
    model: str


@dataclass(frozen=True, slots=True)
class Descriptor:
    """memory: MiB. disks: in the order in which the machine has them. files: every member that it speaks of, and its
    size in bytes where it tells one.
    """

    title: str
    vcpus: int
    memory: int
    efi: bool
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    files: Mapping[str, int | None]


def parse(data: bytes) -> Descriptor:
    """Raises InvalidImage for one that is not safe, not complete, or more than one machine."""
    root = xmltree.parse(data, "its descriptor")
    if root.tag != "Envelope":
        raise _refused(f'begins with "{shown(root.tag)}", not with an OVF envelope')
    system = _system(root)
    hardware = system.find("VirtualHardwareSection")
    if hardware is None:
        raise _refused("describes no hardware")
    items = _items(hardware, _configuration(root))
    files = dict(_files(root))
    return Descriptor(
        title=_title(system),
        vcpus=_quantity(items, _CPU, "CPUs", _MOST_CPUS),
        memory=_memory(items),
        efi=_efi(hardware),
        disks=_disks(root, items, {key: name for key, (name, _) in files.items()}),
        nics=_nics(items),
        files=dict(files.values()),
    )


def _refused(problem: str) -> InvalidImage:
    return InvalidImage(problem=f"its descriptor {problem}")


def _system(root: Element) -> Element:
    systems = list(root.iter("VirtualSystem"))
    if len(systems) != 1:
        raise _refused(f"describes {len(systems)} machines, and not one")
    return systems[0]


def _title(system: Element) -> str:
    text = system.findtext("Name") or system.get("id") or ""
    return shown(" ".join(text.split()))[:_NAME_CHARACTERS]


def _configuration(root: Element) -> str:
    """Which deployment is the default one."""
    found = root.findall("DeploymentOptionSection/Configuration")
    default = [one for one in found if one.get("default") in ("true", "1")]
    return (default or found)[0].get("id", "") if found else ""


def _items(hardware: Element, configuration: str) -> list[Element]:
    """Those of the default deployment, in order; one that is for it stands for the general one with its id."""
    found: dict[str, Element] = {}
    for place, item in enumerate(hardware):
        if item.tag not in ("Item", "StorageItem", "EthernetPortItem") or item.get("bound"):
            continue
        general, number = not item.get("configuration"), _text(item, "InstanceID")
        if general or configuration in item.get("configuration", "").split():
            found[f"at {place}" if not number or (general and number in found) else number] = item
    return list(found.values())


def _text(item: Element, tag: str) -> str:
    return (item.findtext(tag) or "").strip()


def _of(items: list[Element], *kinds: str) -> Iterator[Element]:
    return (item for item in items if _text(item, "ResourceType") in kinds)


def _files(root: Element) -> Iterator[tuple[str, tuple[str, int | None]]]:
    """By id: the name of the member, and its size where that is told."""
    seen: set[str] = set()
    for file in root.iterfind("References/File"):
        href, size = file.get("href", ""), file.get("size")
        name = unquote(href)
        if "://" in href or problem_with_name(name):
            raise _refused(f'names a file that is not beside it in the archive: "{shown(href)}"')
        if file.get("chunkSize"):
            raise _refused(f'says that "{shown(name)}" is cut into pieces, which pvc does not put together')
        if name in seen:
            raise _refused(f'names the file "{shown(name)}" twice')
        seen.add(name)
        yield file.get("id", ""), (name, None if size is None else _integer(size, f'the size of "{shown(name)}"'))


def _disks(root: Element, items: list[Element], files: Mapping[str, str]) -> tuple[Disk, ...]:
    """As the machine has them: by controller, and there by address."""
    declared = {disk.get("diskId", ""): disk for disk in root.iterfind("DiskSection/Disk")}
    controllers = {_text(item, "InstanceID"): place for place, item in enumerate(items)}
    found: list[tuple[tuple[int, int, int], str]] = []
    for place, item in enumerate(_of(items, *_DISKS)):
        match = _HOST_DISK.fullmatch(_text(item, "HostResource"))
        if match is None or match[1] not in declared:
            raise _refused(f'has a disk that it does not describe: "{shown(_text(item, "HostResource"))}"')
        address = _ADDRESS.fullmatch(_text(item, "AddressOnParent"))
        order = controllers.get(_text(item, "Parent"), -1), int(address[0]) if address else 0, place
        found.append((order, match[1]))
    chosen = [name for _order, name in sorted(found)]
    if not 0 < len(chosen) <= MOST_DISKS:
        raise _refused(f"has {len(chosen)} disks; 1 to {MOST_DISKS} are accepted")
    if len(set(chosen)) != len(chosen):
        raise _refused("has the same disk twice")
    disks = tuple(_disk(declared[name], files) for name in chosen)
    named = [disk.file for disk in disks if disk.file]
    if len(set(named)) != len(named):
        raise _refused("has two disks in the same file")
    return disks


def _disk(element: Element, files: Mapping[str, str]) -> Disk:
    reference = element.get("fileRef")
    if element.get("parentRef"):
        raise _refused("has a disk that is the difference to another; make it self-contained first")
    if reference is not None and reference not in files:
        raise _refused(f'has a disk in a file that it does not name: "{shown(reference)}"')
    unit = _unit(element.get("capacityAllocationUnits", "byte"))
    size = _integer(element.get("capacity", ""), "the capacity of a disk") * unit
    if not 0 < size <= _LARGEST_DISK:
        raise _refused(f"has a disk of {size} bytes, which cannot be")
    if reference is None:
        return Disk("", size, "")
    return Disk(files[reference], size, _format(element.get("format", "")))


def _format(uri: str) -> str:
    for part, name in _FORMATS.items():
        if part in uri.lower():
            return name
    raise _refused(f'has a disk of a format that is not known here: "{shown(uri)}"')


def _nics(items: list[Element]) -> tuple[Nic, ...]:
    found = tuple(Nic(_network(item), shown(_text(item, "ResourceSubType"))) for item in _of(items, _ETHERNET))
    if len(found) > MOST_NICS:
        raise _refused(f"has {len(found)} NICs; at most {MOST_NICS} are accepted")
    return found


def _network(item: Element) -> str:
    return shown(_text(item, "Connection"))


def _memory(items: list[Element]) -> int:
    return max(_quantity(items, _MEMORY, "memory", _MOST_MEMORY) // MIB, 1)


def _quantity(items: list[Element], kind: str, what: str, most: int) -> int:
    """Of memory in bytes."""
    item = next(_of(items, kind), None)
    if item is None:
        raise _refused(f"does not tell its {what}")
    unit = _unit(_text(item, "AllocationUnits")) if kind == _MEMORY else 1
    quantity = _integer(_text(item, "VirtualQuantity"), f"its {what}") * unit
    if not 0 < quantity <= most:
        raise _refused(f"asks for {what} that cannot be: {quantity}")
    return quantity


def _unit(text: str) -> int:
    """How many bytes: "byte * 2^20", "byte*1024", or as the first version had it, "MegaBytes"."""
    word, _, _ = text.partition("*")
    rest = text[len(word) :].strip()
    if word.strip().lower() not in _UNITS:
        raise _refused(f'has a unit that is not known here: "{shown(text)}"')
    unit = 1 << _UNITS[word.strip().lower()]
    while rest:
        factor = _FACTOR.match(rest)
        unit *= int(factor[1]) ** int(factor[2] or 1) if factor else 0
        if factor is None or not 0 < unit <= _LARGEST_DISK:
            raise _refused(f'has a unit that is not known here: "{shown(text)}"')
        rest = rest[factor.end() :]
    return unit


def _integer(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise _refused(f'has no number for {what}: "{shown(text)}"')
    return int(text)


def _efi(hardware: Element) -> bool:
    return any(
        config.get("key") == "firmware" and config.get("value", "").lower() == "efi"
        for config in hardware.iterfind("Config")
    )
