"""A VM's libvirt XML as it is stored: read, checked, described, edited. Text in, text out.

Stored XML names volumes and networks, never a host's paths: what a node adds to it is pvc/hypervisor/domxml.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from lxml import etree

from pvc.errors import InvalidXML
from pvc.model import names

Element = etree._Element

# A document this long is no VM; it also keeps the record well under the store's limit.
MAX_XML = 256 * 1024

_ONCE = ("metadata", "memory", "vcpu", "os", "devices")  # what is read or changed here must be all that libvirt sees
_PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd"}
BUSES = tuple(_PREFIXES)
DEVICES = ("disk", "interface")  # what the cluster itself names; others go by their alias
ALIAS = re.compile(r"ua-[A-Za-z0-9_-]{1,60}")  # libvirt keeps an alias of this form as it was given


@dataclass(frozen=True, slots=True)
class Disk:
    """volume: "POOL/VOLUME", "" for an empty or foreign drive. source: what the XML names, for people."""

    type: str
    device: str
    volume: str
    source: str
    dev: str
    bus: str


@dataclass(frozen=True, slots=True)
class Nic:
    type: str
    mac: str
    source: str
    model: str


@dataclass(frozen=True, slots=True)
class Domain:
    """What a VM's XML says, in the API's terms. memory: MiB. topology: sockets/cores/threads."""

    name: str
    uuid: str
    description: str
    memory: int
    vcpu: int
    topology: str
    type: str
    arch: str
    machine: str
    console: str
    vnc_listen: str
    vnc_port: str
    emulator: str
    features: tuple[str, ...]
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    controllers: tuple[tuple[str, str | None], ...]


def parse(text: str, root: str = "domain") -> Element:
    """Read one document without entities, DTD or network. Raises InvalidXML."""
    data = text.encode(errors="replace")  # half a character becomes "?", which no name and no tag can have
    if len(data) > MAX_XML:
        raise InvalidXML(reason=f"it has more than {MAX_XML} bytes")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_blank_text=True,
    )
    try:
        tree = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as exc:
        raise InvalidXML(reason=" ".join((exc.msg or "it is empty").split())) from exc
    if tree.getroottree().docinfo.internalDTD is not None:
        raise InvalidXML(reason="it has a DOCTYPE, which pvc does not accept")
    if tree.tag != root:
        raise InvalidXML(reason=f'its root is "{tree.tag}" where "{root}" is expected')
    return tree


def parse_device(text: str, kinds: tuple[str, ...] = ()) -> Element:
    """Read one device's document. kinds: those accepted, any when there are none. Raises InvalidXML."""
    match = re.match(r"\s*(?:<\?xml[^>]*\?>\s*)?<([A-Za-z]+)", text)
    kind = match[1] if match else DEVICES[0]
    if kinds and kind not in kinds:
        raise InvalidXML(reason=f'its root is "{kind}" where one of {_quoted(kinds)} is expected')
    return parse(text, kind)


def text_of(element: Element) -> str:
    """The document as it is stored: indented, so that two versions diff well."""
    etree.indent(element)
    return etree.tostring(element, encoding="unicode").strip() + "\n"


def normalise(text: str, *, new_uuid: str, name: str | None = None) -> str:
    """The document to store, name and uuid made true: `new_uuid` when it has none, `name` when given.

    Raises InvalidXML.
    """
    root = parse(text)
    if twice := next((tag for tag in _ONCE if len(root.findall(tag)) > 1), None):
        raise InvalidXML(reason=f'its element "{twice}" stands there twice')
    found = name if name is not None else (root.findtext("name") or "").strip()
    if problem := names.problem_with("VM", found):
        raise InvalidXML(reason=f"its name {problem}")
    _set_first(root, "uuid", _uuid(root.findtext("uuid"), new_uuid))
    _set_first(root, "name", found)
    _check_numbers(root)
    return text_of(root)


def _uuid(text: str | None, fallback: str) -> str:
    if text is None or not text.strip():
        return fallback
    try:
        return str(UUID(text.strip()))
    except ValueError as exc:
        raise InvalidXML(reason=f'its uuid "{text.strip()}" is not a UUID') from exc


def _set_first(root: Element, tag: str, text: str) -> None:
    for old in root.findall(tag):
        root.remove(old)
    node = etree.Element(tag)
    node.text = text
    root.insert(0, node)


def _check_numbers(root: Element) -> None:
    if _memory_mib(root) <= 0:
        raise InvalidXML(reason="it has no memory")
    if _integer(root.findtext("vcpu"), 1) <= 0:
        raise InvalidXML(reason="it has no vcpu")


def describe(text: str) -> Domain:
    """Raises InvalidXML."""
    root = parse(text)
    kind = root.find("os/type")
    listen, port = vnc(root) or ("None", "None")
    console = root.find("devices/console")
    return Domain(
        name=root.findtext("name") or "",
        uuid=root.findtext("uuid") or "",
        description=root.findtext("description") or "",
        memory=_memory_mib(root),
        vcpu=_integer(root.findtext("vcpu"), 1),
        topology=_topology(root),
        type=(kind.text or "") if kind is not None else "hvm",
        arch=kind.get("arch", "") if kind is not None else "",
        machine=kind.get("machine", "") if kind is not None else "",
        console=console.get("type", "") if console is not None else "",
        vnc_listen=listen,
        vnc_port=port,
        emulator=root.findtext("devices/emulator") or "",
        features=tuple(str(item.tag) for item in root.iterfind("features/*")),
        disks=tuple(disks(root)),
        nics=tuple(nics(root)),
        controllers=tuple((c.get("type", ""), c.get("model")) for c in root.iterfind("devices/controller")),
    )


def vnc(root: Element) -> tuple[str, str] | None:
    """Address and port of the VNC screen; the port is "" where libvirt is still to choose it, None without a screen."""
    node = root.find("devices/graphics[@type='vnc']")
    if node is None:
        return None
    port = node.get("port", "")
    return node.get("listen", ""), "" if port == "-1" else port


def disks(root: Element) -> Iterator[Disk]:
    for node in root.iterfind("devices/disk"):
        yield disk(node)


def disk(node: Element) -> Disk:
    target = node.find("target")
    dev = target.get("dev", "") if target is not None else ""
    bus = target.get("bus", "") if target is not None else ""
    source = node.find("source")
    named = "" if source is None else (_first(source, ("name", "file", "dev", "dir", "volume")))
    volume = volume_of(node)
    kind = "rbd" if node.get("type") == "network" and source is not None else node.get("type", "")
    return Disk(kind, node.get("device", "disk"), volume, volume or named, dev, bus)


def volume_of(node: Element) -> str:
    """The POOL/VOLUME that a disk names, "" when it names none."""
    source = node.find("source")
    if source is None:
        return ""
    if node.get("type") == "volume":
        return f"{source.get('pool', '')}/{source.get('volume', '')}"
    if node.get("type") == "network" and source.get("protocol") == "rbd":
        return source.get("name", "")
    return ""


def nics(root: Element) -> Iterator[Nic]:
    for node in root.iterfind("devices/interface"):
        yield nic(node)


def nic(node: Element) -> Nic:
    mac, source, model = node.find("mac"), node.find("source"), node.find("model")
    return Nic(
        type=node.get("type", ""),
        mac=mac.get("address", "").lower() if mac is not None else "",
        source=_first(source, ("bridge", "network", "dev")) if source is not None else "",
        model=model.get("type", "") if model is not None else "",
    )


def _first(node: Element, keys: tuple[str, ...]) -> str:
    return next((node.get(key, "") for key in keys if node.get(key)), "")


def _integer(text: str | None, default: int) -> int:
    if text is None:
        return default
    if re.fullmatch(r"-?[0-9]{1,18}", text.strip()) is None:
        raise InvalidXML(reason=f'"{text.strip()[:40]}" is not a whole number')
    return int(text)


_MEMORY_UNITS = {"b": 1, "bytes": 1, "kb": 1000, "k": 1024, "kib": 1024, "mb": 10**6, "m": 1024**2, "mib": 1024**2}
_MEMORY_UNITS |= {"gb": 10**9, "g": 1024**3, "gib": 1024**3, "tb": 10**12, "t": 1024**4, "tib": 1024**4}


def _memory_mib(root: Element) -> int:
    """libvirt's own rule: KiB where no unit is given."""
    node = root.find("memory")
    if node is None:
        return 0
    unit = _MEMORY_UNITS.get((node.get("unit") or "KiB").lower())
    if unit is None:
        raise InvalidXML(reason=f'"{node.get("unit")}" is not a unit of memory')
    return _integer(node.text or "", 0) * unit // 1024**2


def _topology(root: Element) -> str:
    node = root.find("cpu/topology")
    if node is None:
        return "N/A"
    return "/".join(node.get(key, "1") for key in ("sockets", "cores", "threads"))


def next_dev(text: str, bus: str) -> str:
    """The lowest free device name on `bus`, as "vdb". Raises InvalidXML when the bus is unknown or full."""
    prefix = _PREFIXES.get(bus)
    if prefix is None:
        raise InvalidXML(reason=f'"{bus}" is not one of the buses {_quoted(BUSES)}')
    taken = {item.dev for item in disks(parse(text))}
    for letter in "abcdefghijklmnopqrstuvwxyz":
        if prefix + letter not in taken:
            return prefix + letter
    raise InvalidXML(reason=f'no device name is left on the bus "{bus}"')


def bus_of(dev: str) -> str:
    """The usual bus of a device name: "vdb" is virtio."""
    return {"vd": "virtio", "sd": "scsi", "hd": "ide"}.get(dev[:2], "virtio")


def disk_xml(volume: str, dev: str, bus: str) -> str:
    """The stored form of a disk on POOL/VOLUME."""
    pool, _, name = volume.partition("/")
    node = etree.Element("disk", type="volume", device="disk")
    etree.SubElement(node, "source", pool=pool, volume=name)
    etree.SubElement(node, "target", dev=dev, bus=bus)
    return text_of(node)


def nic_xml(bridge: str, mac: str, model: str) -> str:
    node = etree.Element("interface", type="bridge")
    etree.SubElement(node, "mac", address=mac)
    etree.SubElement(node, "source", bridge=bridge)
    etree.SubElement(node, "model", type=model)
    return text_of(node)


def same_device(one: Element, other: Element) -> bool:
    """Whether both name the same device: a disk by its target, a NIC by its MAC, others by alias, never by position."""
    if one.tag != other.tag:
        return False
    return bool(name_of(one)) and name_of(one) == name_of(other)


def name_of(device: Element) -> str:
    """What tells a device from others of its kind, "" when it has nothing."""
    match device.tag:
        case "disk":
            return disk(device).dev
        case "interface":
            return nic(device).mac
        case _:
            alias = device.find("alias")
            return alias.get("name", "") if alias is not None else ""


def with_alias(device: Element, name: str) -> Element:
    """The device, called `name` where it has no alias."""
    if device.find("alias") is None:
        etree.SubElement(device, "alias", name=name)
    return device


def same_source(one: str, other: str) -> bool:
    """Whether two documents of the same device stand for the same volume or bridge."""
    first, second = parse_device(one), parse_device(other)
    if first.tag == "disk":
        return disk(first).source == disk(second).source
    return first.tag != "interface" or nic(first).source == nic(second).source


def find_device(root: Element, device: Element) -> Element | None:
    return next((node for node in root.iterfind(f"devices/{device.tag}") if same_device(node, device)), None)


def with_device(text: str, device_xml: str) -> str:
    """`text` with the device; unchanged when it has it already."""
    root, device = parse(text), parse_device(device_xml)
    if find_device(root, device) is None:
        parent = root.find("devices")
        if parent is None:
            parent = etree.SubElement(root, "devices")
        siblings = parent.findall(str(device.tag))
        parent.insert(parent.index(siblings[-1]) + 1 if siblings else len(parent), device)
    return text_of(root)


def without_device(text: str, device_xml: str) -> str:
    """`text` without the device; unchanged when it is not there."""
    root, device = parse(text), parse_device(device_xml)
    node = find_device(root, device)
    if node is not None:
        parent = node.getparent()
        if parent is not None:
            parent.remove(node)
    return text_of(root)


def with_macs(text: str, macs: Iterator[str]) -> str:
    """`text` with a MAC from `macs` for every NIC that has none, so that it stays the same from start to start."""
    root = parse(text)
    for node in root.iterfind("devices/interface"):
        if not nic(node).mac:
            node.insert(0, etree.Element("mac", address=next(macs)))
    return text_of(root)


def renamed(text: str, name: str, volumes: Mapping[str, str]) -> str:
    """`text` under another name, with each POOL/VOLUME of `volumes` replaced by the one it maps to."""
    root = parse(text)
    _set_first(root, "name", name)
    for node in root.iterfind("devices/disk"):
        new = volumes.get(volume_of(node))
        source = node.find("source")
        if new is None or source is None:
            continue
        if node.get("type") == "volume":
            source.set("volume", new.partition("/")[2])
        else:
            source.set("name", new)
    return text_of(root)


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(f'"{word}"' for word in words)
