"""What a node adds to a stored VM so that libvirt can run it, and how to find things in what runs."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from pvc.errors import InvalidXML
from pvc.model import domain
from pvc.model.domain import Element
from pvc.model.observing import Live
from pvc.storage.base import FileSource, RBDSource, Secret, Source

NAMESPACE = "urn:pvc:run"

# Devices that sit on a PCI port of their own on q35; what libvirt adds by itself is in the spare.
_ON_A_PORT = ("interface", "rng", "memballoon", "vsock", "watchdog")
_SPARE_PORTS = 4


def finished(
    text: str,
    *,
    run: int,
    domain_type: str,
    volume: Callable[[str], Source],
    console_log: str,
    hotplug_slots: int,
) -> str:
    """The XML to start on this node. `volume` tells where POOL/VOLUME is found, or raises."""
    root = domain.parse(text)
    root.set("type", domain_type)
    _set_machine(root)
    _set_endings(root)
    _set_run(root, run)
    devices = _child(root, "devices")
    for emulator in devices.findall("emulator"):
        devices.remove(emulator)
    for node in devices.findall("disk"):
        resolve_disk(node, volume)
    _set_console(devices, console_log)
    _add_ports(root, devices, hotplug_slots)
    return domain.text_of(root)


def on_target(movable: str, console_log: str) -> str:
    """What a running guest's XML becomes on the node it moves to. Only what is the node's own differs."""
    root = etree.fromstring(movable.encode())
    for log in root.iterfind("devices/*/log"):
        log.set("file", console_log)
    return etree.tostring(root, encoding="unicode")


def finished_device(text: str, volume: Callable[[str], Source]) -> str:
    """A device's XML as this node's libvirt takes it."""
    node = domain.parse_device(text)
    if node.tag == "disk":
        resolve_disk(node, volume)
    return domain.text_of(node)


def resolve_disk(node: Element, volume: Callable[[str], Source]) -> None:
    """Point a disk at its volume. The format is always said: a guest writes what it likes into its disk."""
    name = domain.volume_of(node)
    if not name:
        return
    match volume(name):
        case FileSource(path):
            for old in node.findall("source"):
                node.remove(old)
            node.set("type", "file")
            node.insert(0, etree.Element("source", file=path))
        case RBDSource() as image:
            for old in [*node.findall("source"), *node.findall("auth")]:
                node.remove(old)
            node.set("type", "network")
            node.insert(0, _rbd_source(image))
    driver = node.find("driver")
    if driver is None:
        driver = etree.Element("driver")
        node.insert(0, driver)
    driver.set("name", "qemu")
    driver.set("type", "raw")
    driver.set("discard", driver.get("discard", "unmap"))


def _rbd_source(image: RBDSource) -> Element:
    node = etree.Element("source", protocol="rbd", name=f"{image.pool}/{image.image}")
    for host, port in image.monitors:
        etree.SubElement(node, "host", name=host, port=str(port))
    auth = etree.SubElement(node, "auth", username=image.user)
    etree.SubElement(auth, "secret", type="ceph", uuid=image.secret)
    return node


def secret(kept: Secret) -> str:
    """What libvirt is told of a secret, all but its value: it writes none to disk and gives none to its clients."""
    root = etree.Element("secret", ephemeral="yes", private="yes")
    etree.SubElement(root, "uuid").text = kept.uuid
    usage = etree.SubElement(root, "usage", type="ceph")
    etree.SubElement(usage, "name").text = kept.name
    return domain.text_of(root)


def _child(root: Element, tag: str) -> Element:
    node = root.find(tag)
    return etree.SubElement(root, tag) if node is None else node


def _set_machine(root: Element) -> None:
    kind = root.find("os/type")
    if kind is None:
        kind = etree.SubElement(_child(root, "os"), "type")
    kind.text = kind.text or "hvm"
    kind.set("machine", kind.get("machine", "q35"))


def _set_endings(root: Element) -> None:
    """A guest's end is the agent's to judge, so libvirt must let it go."""
    for tag in ("on_poweroff", "on_crash"):
        for old in root.findall(tag):
            root.remove(old)
        etree.SubElement(root, tag).text = "destroy"


def _set_run(root: Element, run: int) -> None:
    metadata = _child(root, "metadata")
    for old in metadata.findall(f"{{{NAMESPACE}}}run"):
        metadata.remove(old)
    etree.SubElement(metadata, f"{{{NAMESPACE}}}run", nsmap={"pvc": NAMESPACE}).text = str(run)


def _set_console(devices: Element, log: str) -> None:
    """Keep what the first serial port says in `log`; a VM without one gets one."""
    node = next((n for n in devices if n.tag in ("serial", "console") and n.get("type") == "pty"), None)
    if node is None:
        node = etree.SubElement(devices, "serial", type="pty")
    for old in node.findall("log"):
        node.remove(old)
    etree.SubElement(node, "log", file=log, append="on")


def _add_ports(root: Element, devices: Element, hotplug_slots: int) -> None:
    """PCIe has no free slots unless ports were there at the start: one for each device, and `hotplug_slots` more."""
    if "q35" not in (root.find("os/type").get("machine") or ""):  # type: ignore[union-attr]
        return
    if not any(node.get("model") == "pcie-root" for node in devices.iterfind("controller")):
        etree.SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
    present = sum(1 for node in devices.iterfind("controller") if node.get("model") == "pcie-root-port")
    taken = sum(1 for node in devices if node.tag in _ON_A_PORT)
    taken += sum(1 for node in devices.iterfind("disk") if domain.disk(node).bus == "virtio")
    taken += sum(1 for node in devices.iterfind("controller") if node.get("type") in ("scsi", "virtio-serial", "usb"))
    for _ in range(present, taken + hotplug_slots + _SPARE_PORTS):
        etree.SubElement(devices, "controller", type="pci", model="pcie-root-port")


def run_of(metadata: str) -> int | None:
    """The run number in the metadata element that `finished` wrote."""
    try:
        return int(etree.fromstring(metadata.encode()).text or "")
    except (ValueError, etree.XMLSyntaxError):
        return None


def live_device(live: str, device_xml: str) -> str | None:
    """The running guest's own XML of that device, alias included; None when the guest does not have it."""
    node = domain.find_device(etree.fromstring(live.encode()), domain.parse_device(device_xml))
    return None if node is None else etree.tostring(node, encoding="unicode")


def dev_of(live: str, source: Source) -> str | None:
    """The device name by which the running guest has what `source` is; None when it has it not."""
    root = etree.fromstring(live.encode())
    return next((disk.dev for disk in domain.disks(root) if disk.source == _named(source)), None)


def _named(source: Source) -> str:
    """What a live document calls it."""
    match source:
        case FileSource(path):
            return path
        case RBDSource(pool=pool, image=image):
            return f"{pool}/{image}"


def alias_of(device_xml: str) -> str:
    """Raises InvalidXML when libvirt gave it none."""
    alias = domain.parse_device(device_xml).find("alias")
    if alias is None or not alias.get("name"):
        raise InvalidXML(reason="the device has no alias")
    return alias.get("name", "")


def disk_names(text: str) -> list[str]:
    """Device names of a domain's disks."""
    return [target.get("dev", "") for target in etree.fromstring(text.encode()).iterfind("devices/disk/target")]


def live(text: str) -> Live:
    """What the running guest's own XML tells."""
    root = etree.fromstring(text.encode())
    console = root.find("devices/console")
    named = ((node.find("target"), domain.nic(node).mac) for node in root.iterfind("devices/interface"))
    return Live(
        free_slots=_free_slots(root),
        console=console.get("type", "") if console is not None else "",
        vnc=domain.vnc(root),
        macs={target.get("dev", ""): mac for target, mac in named if target is not None},
    )


def _free_slots(root: Element) -> int:
    """PCI ports that a device can still be plugged into."""
    used = {address.get("bus") for address in root.iterfind(".//devices//address[@type='pci']")}
    if _machine_is_pcie(root):
        ports = [c for c in root.iterfind("devices/controller") if c.get("model") == "pcie-root-port"]
        return sum(1 for port in ports if f"0x{int(port.get('index', '0')):02x}" not in used)
    slots = {a.get("slot") for a in root.iterfind(".//devices//address[@type='pci']") if a.get("bus") == "0x00"}
    return max(0, 31 - len(slots))


def _machine_is_pcie(root: Element) -> bool:
    return any(node.get("model") == "pcie-root" for node in root.iterfind("devices/controller"))
