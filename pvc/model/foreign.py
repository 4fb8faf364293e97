"""What a VM's XML takes from the host rather than from the cluster.

A file, a block or PCI device, a connection from the node, another program's arguments: whoever may put these into a VM
is as good as root on its node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from pvc.model import names
from pvc.model.domain import Element, disk, volume_of

_DEVICES = frozenset(
    [
        "disk",
        "interface",
        "serial",
        "console",
        "channel",
        "controller",
        "graphics",
        "video",
        "input",
        "memballoon",
        "rng",
        "watchdog",
        "panic",
        "sound",
        "audio",
        "tpm",
        "emulator",
        "vsock",
    ]
)

# The types of a device, and of its backend, that stay inside the guest and its QEMU; "" is libvirt's own choice.
_CHARACTERS = frozenset(("", "pty", "null", "vc", "unix", "spicevmc", "spiceport", "qemu-vdagent"))
_TYPES = {
    "interface": frozenset(("bridge",)),
    "serial": _CHARACTERS,
    "console": _CHARACTERS,
    "channel": _CHARACTERS,
    "audio": frozenset(("none", "spice")),
}
_BACKENDS = {"rng": ("model", frozenset(("random", "builtin"))), "tpm": ("type", frozenset(("emulator",)))}

# Where a path may stand without a slash in front; everywhere else the slash tells it.
_PATH_ELEMENTS = frozenset(("kernel", "initrd", "dtb", "loader", "nvram", "init", "bootloader"))
_PATH_ATTRIBUTES = frozenset(("file", "path", "dir", "socket", "template"))
_HARMLESS_PATHS = re.compile(r"/dev/u?random|/usr/share/(?:OVMF|qemu|AAVMF)/[A-Za-z0-9._/-]+")

# Parts that libvirt keeps and does nothing with, and the emulator, which the node chooses itself.
_UNREAD = ("metadata", "description", "title", "devices/emulator")


def foreign_parts(root: Element) -> list[str]:
    """One phrase for each. root: a domain, or one device."""
    unread = {part for path in _UNREAD for node in root.iterfind(path) for part in node.iter()}
    read = [node for node in root.iter(etree.Element) if node not in unread]
    found = [f'the element "{name.localname}" of another namespace' for name in _qualified(read)]
    found += [f'the device "{node.tag}"' for node in _devices(root) if node.tag not in _DEVICES]
    found += [f'the disk source "{disk(node).source}"' for node in _of(root, "disk") if not _is_ours(node)]
    for kind, types in _TYPES.items():
        found += [
            f'the {kind} type "{name}"' for node in _of(root, kind) if (name := node.get("type", "")) not in types
        ]
    for kind, (key, models) in _BACKENDS.items():
        backends = (backend for node in _of(root, kind) for backend in node.iterfind("backend"))
        found += [f'the {kind} backend "{name}"' for node in backends if (name := node.get(key, "")) not in models]
    found += [f'the host path "{path}"' for node in read for path in _paths(node)]
    return found


def _qualified(nodes: list[Element]) -> Iterator[etree.QName]:
    return (name for node in nodes if (name := etree.QName(node)).namespace)


def _devices(root: Element) -> Iterator[Element]:
    yield from (root.iterfind("devices/*") if root.tag == "domain" else iter((root,)))


def _of(root: Element, kind: str) -> Iterator[Element]:
    return (node for node in _devices(root) if node.tag == kind)


def _is_ours(node: Element) -> bool:
    volume = volume_of(node)
    if volume:
        try:
            names.split_volume(volume)
        except ValueError:
            return False
        return True
    return node.find("source") is None and node.get("device") in ("cdrom", "floppy")


def _paths(node: Element) -> Iterator[str]:
    values = [(str(key) in _PATH_ATTRIBUTES, str(value)) for key, value in node.attrib.items()]
    values.append((node.tag in _PATH_ELEMENTS, node.text or ""))
    for is_path, value in values:
        text = value.strip()
        if (text if is_path else text.startswith("/")) and (".." in text or not _HARMLESS_PATHS.fullmatch(text)):
            yield text
