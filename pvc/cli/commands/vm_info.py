from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from pvc.cli.client import Client
from pvc.cli.layout import Column, known, memory_of, section, sheet, size
from pvc.cli.output import Output
from pvc.units import KIB

HELP = 'show one VM; in JSON "memory" is in MiB, "memory_stats" in KiB'
EXAMPLE = "web1"

DISKS: list[Column] = [
    ("DEVICE", "dev"),
    ("BUS", "bus"),
    ("VOLUME", "name"),
    ("TYPE", "type"),
    (">READ", lambda disk: size(disk.get("rd_bytes"))),
    (">WRITTEN", lambda disk: size(disk.get("wr_bytes"))),
]
NICS: list[Column] = [
    ("MAC", "mac"),
    ("NETWORK", "vni"),
    ("BRIDGE", "source"),
    ("MODEL", "model"),
    (">RECEIVED", lambda nic: size(nic.get("rd_bytes"))),
    (">SENT", lambda nic: size(nic.get("wr_bytes"))),
]
TAGS: list[Column] = [("NAME", "name"), ("TYPE", "type"), ("PROTECTED", "protected")]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.one("vm", args.vm), _sheet)


def _sheet(vm: dict[str, Any]) -> Iterator[str]:
    yield from sheet([*_state(vm), *_shape(vm), *_use(vm), *_placement(vm)])
    yield from section("Disks", vm.get("disks", []), DISKS)
    yield from section("Networks", vm.get("networks", []), NICS)
    yield from section("Tags", vm.get("tags", []), TAGS)


def _state(vm: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "Name", vm["name"]
    yield "UUID", vm.get("uuid")
    yield "Description", vm.get("description")
    yield "State", vm.get("state")
    yield "Power", vm.get("power")
    if vm.get("doubt"):
        yield "Doubt", vm["doubt"]
    if vm.get("failed_reason"):
        yield "Reason", vm["failed_reason"]
    if vm.get("task"):
        yield "Task", vm["task"]


def _shape(vm: dict[str, Any]) -> Iterator[tuple[str, object]]:
    topology, vnc = known(vm.get("vcpu_topology")), vm.get("vnc") or {}
    yield "vCPUs", f"{vm.get('vcpu')} ({topology})" if topology else vm.get("vcpu")
    yield "Memory", memory_of(vm)
    yield "Machine", [vm[field] for field in ("arch", "machine") if vm.get(field)]
    if known(vnc.get("port")):
        yield "VNC", f"{vnc.get('listen')}:{vnc['port']}"
    if known(vm.get("console")):
        yield "Console", vm["console"]
    yield "Free slots", vm.get("free_slots")


def _use(vm: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Of a guest that runs; the API counts its memory in KiB and its time in nanoseconds."""
    rss, spent = vm.get("memory_stats", {}).get("rss"), vm.get("vcpu_stats", {}).get("cpu_time")
    if rss is not None:
        yield "Memory on the node", size(rss * KIB)
    if spent is not None:
        yield "CPU time", f"{spent / 1e9:.0f}s"


def _placement(vm: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "Node", vm.get("node")
    if vm.get("last_node"):
        yield "Migrated from", vm["last_node"]
    yield "Node limit", vm.get("node_limit")
    yield "Selector", vm.get("node_selector")
    yield "Autostart", vm.get("node_autostart")
    method = vm.get("migration_method")
    yield "Migration", "none (live, else shutdown)" if method == "none" else method
    if vm.get("migration_max_downtime"):
        yield "Longest downtime", f"{vm['migration_max_downtime']} ms"
