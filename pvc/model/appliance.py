"""From an OVA to a VM: what its volumes are called, which network each NIC joins, and the VM's XML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lxml import etree

from pvc.errors import InvalidInput
from pvc.model import domain
from pvc.model.records import OVA


def device(place: int) -> str:
    """The name of a VM's disk, counted from 0 to 23."""
    return f"vd{chr(ord('a') + place)}"


def volume_of_ova(pool: str, ova: str, dev: str) -> str:
    return f"{pool}/ova_{ova}_{dev}"


def volume_of_vm(volume: str, vm: str, dev: str) -> str:
    """Beside the OVA's `volume`, in the same pool."""
    return f"{volume.partition('/')[0]}/{vm}_{dev}"


def mapped(ova: OVA, given: Iterable[str]) -> dict[str, str]:
    """Which network is meant by each that the OVA names. given: "THEIRS=OURS". Raises InvalidInput."""
    wanted = {nic.network for nic in ova.nics}
    found: dict[str, str] = {}
    problems = []
    for text in given:
        theirs, equals, ours = text.rpartition("=")
        if not equals or not ours:
            problems.append(f'must be written as "NAME=NETWORK", which "{text}" is not')
        elif theirs not in wanted:
            problems.append(f'names "{theirs}", which no NIC of OVA "{ova.name}" joins')
        elif found.setdefault(theirs, ours) != ours:
            problems.append(f'names "{theirs}" twice')
    problems += [f'says nothing of "{theirs}", which a NIC joins' for theirs in sorted(wanted - set(found))]
    if problems:
        raise InvalidInput({"network": "; ".join(problems)})
    return found


def xml(ova: OVA, name: str, volumes: Mapping[str, str], bridges: Sequence[str]) -> str:
    """A VM like the OVA's machine. volumes: by device name. bridges: of each NIC, in order."""
    root = etree.Element("domain", type="kvm")
    etree.SubElement(root, "name").text = name
    if ova.title:
        etree.SubElement(root, "description").text = ova.title
    etree.SubElement(root, "memory", unit="MiB").text = str(ova.memory)
    etree.SubElement(root, "vcpu").text = str(ova.vcpus)
    _add_boot(root, efi=ova.efi)
    devices = etree.SubElement(root, "devices")
    for dev, volume in volumes.items():
        devices.append(domain.parse_device(domain.disk_xml(volume, dev, "virtio")))
    for bridge in bridges:
        nic = etree.SubElement(devices, "interface", type="bridge")
        etree.SubElement(nic, "source", bridge=bridge)
        etree.SubElement(nic, "model", type="virtio")
    etree.SubElement(devices, "graphics", type="vnc", listen="127.0.0.1", port="-1", autoport="yes")
    etree.SubElement(devices, "console", type="pty")
    return domain.text_of(root)


def _add_boot(root: domain.Element, *, efi: bool) -> None:
    os = etree.SubElement(root, "os")
    if efi:
        os.set("firmware", "efi")
    etree.SubElement(os, "type", arch="x86_64", machine="q35").text = "hvm"
    etree.SubElement(os, "boot", dev="hd")
    features = etree.SubElement(root, "features")
    etree.SubElement(features, "acpi")
    etree.SubElement(features, "apic")
