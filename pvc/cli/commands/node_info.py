from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from pvc.cli.client import Client
from pvc.cli.layout import Column, mebibytes, section, sheet
from pvc.cli.output import Output

HELP = "show one node"
EXAMPLE = "hv1"


CHECKS: list[Column] = [("CHECK", "name"), (">COST", "health_delta"), ("MESSAGE", "message")]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.one("node", args.node), _sheet)


_OPTIONAL = {
    "problem": "Problem",
    "machine": "Machine",
    "domain_type": "Domain type",
    "domain_type_reason": "Because",
    "libvirt_version": "libvirt",
    "qemu_version": "QEMU",
    "strays": "Strays",
}


def _sheet(node: dict[str, Any]) -> Iterator[str]:
    vcpu, memory = node.get("vcpu", {}), node.get("memory", {})
    yield from sheet(
        [
            ("Name", node["name"]),
            ("Daemon", node.get("daemon_state")),
            ("Domains", node.get("domain_state")),
            ("Health", f"{node['health']}%" if "health" in node else ""),
            ("pvc", node.get("pvc_version")),
            ("System", [node[field] for field in ("os", "kernel", "arch") if node.get(field)]),
            *((title, node[field]) for field, title in _OPTIONAL.items() if node.get(field)),
            ("CPUs", f"{node.get('cpu_count', 0)}, {vcpu.get('allocated', 0)} given to VMs"),
            ("Load", node.get("load")),
            *((f"Memory {kind}", mebibytes(amount)) for kind, amount in memory.items()),
            ("Running VMs", node.get("running_domains")),
        ]
    )
    yield from section("Checks", node.get("health_details", []), CHECKS)
