"""How many CPUs and how much memory a VM's XML gives it, changed in every place that must agree. Text in, text out."""

from __future__ import annotations

import re
from math import prod

from lxml import etree

from pvc.errors import Conflict
from pvc.model import domain
from pvc.model.domain import Element

_PARTS = ("sockets", "cores", "threads")
_TOPOLOGY = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")


def parse_topology(text: str, count: int) -> tuple[int, ...]:
    """Return sockets, cores and threads of "1/2/2". Raises ValueError with a phrase for the argument."""
    match = _TOPOLOGY.fullmatch(text)
    if match is None:
        raise ValueError('must be written as SOCKETS/CORES/THREADS, like "1/2/2"')
    found = tuple(int(part) for part in match.groups())
    if prod(found) != count:
        raise ValueError(f"must multiply to {count}, and {text} is {prod(found)}")
    return found


def with_vcpu(text: str, count: int, topology: tuple[int, ...] | None) -> str:
    """`text` with `count` CPUs. topology: None keeps the one there is when it still fits, and drops it otherwise.

    Raises Conflict for a VM whose CPUs are dealt out one by one.
    """
    root = domain.parse(text)
    _check_plain(root, ("vcpus", "cpu/numa", "cputune/vcpupin"), "CPUs")
    node = _child(root, "vcpu")
    node.text = str(count)
    node.attrib.pop("current", "")
    _set_topology(root, count, topology)
    return domain.text_of(root)


def with_memory(text: str, mebibytes: int) -> str:
    """Raises Conflict for a VM whose memory is dealt out in parts."""
    root = domain.parse(text)
    _check_plain(root, ("cpu/numa", "maxMemory"), "memory")
    for old in root.findall("currentMemory"):
        root.remove(old)
    node = _child(root, "memory")
    node.text = str(mebibytes)
    node.set("unit", "MiB")
    return domain.text_of(root)


def _check_plain(root: Element, paths: tuple[str, ...], what: str) -> None:
    found = next((path for path in paths if root.find(path) is not None), None)
    if found is not None:
        problem = f'has {what} described in "{found}" too: change its XML as a whole'
        raise Conflict(kind="VM", name=root.findtext("name") or "", problem=problem)


def _child(root: Element, tag: str) -> Element:
    node = root.find(tag)
    return etree.SubElement(root, tag) if node is None else node


def _set_topology(root: Element, count: int, topology: tuple[int, ...] | None) -> None:
    old = root.find("cpu/topology")
    if topology is None and (old is None or _product(old) == count):
        return
    if old is not None:
        old.getparent().remove(old)  # type: ignore[union-attr]
    if topology is not None:
        sizes = {part: str(size) for part, size in zip(_PARTS, topology, strict=True)}
        _child(root, "cpu").append(etree.Element("topology", sizes))


def _product(topology: Element) -> int:
    sizes = [topology.get(part, "1") for part in (*_PARTS, "dies", "clusters")]
    return prod(int(size) for size in sizes) if all(size.isdecimal() for size in sizes) else 0
