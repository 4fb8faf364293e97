from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from pvc.cli.client import Client
from pvc.cli.layout import section, sheet
from pvc.cli.output import Output

HELP = "show how the cluster is doing"
EXAMPLE = ""


def arguments(parser: ArgumentParser) -> None:
    pass


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("status"), _sheet)


def _sheet(status: dict[str, Any]) -> Iterator[str]:
    health = status.get("cluster_health", {})
    facts = [
        ("Health", f"{health['health']}%" if "health" in health else ""),
        ("Mode", status.get("mode")),
        ("Maintenance", status.get("maintenance")),
        ("Version", status.get("pvc_version")),
        *((title, _count(status[noun])) for noun, title in _NOUNS.items() if noun in status),
    ]
    yield from sheet(facts)
    yield from section("Messages", [{"text": text} for text in health.get("messages", [])], [("MESSAGE", "text")])
    nodes = [{"name": name, **node} for name, node in status.get("node_health", {}).items()]
    yield from section("Nodes", nodes, [("NAME", "name"), (">HEALTH", "health"), ("MESSAGES", "messages")])


_NOUNS = {
    "nodes": "Nodes",
    "vms": "VMs",
    "networks": "Networks",
    "osds": "OSDs",
    "pools": "Pools",
    "volumes": "Volumes",
    "snapshots": "Snapshots",
}


def _count(value: Any) -> str:
    """Say "5 (start 1, stop 4)" for a count by state."""
    if not isinstance(value, dict):
        return str(value)
    by_state = ", ".join(f"{state} {count}" for state, count in value.items() if state != "total" and count)
    return f"{value.get('total', 0)} ({by_state})" if by_state else str(value.get("total", 0))
