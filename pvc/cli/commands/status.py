from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.layout import moment, section, sheet
from pvc.cli.output import Output

HELP = "show how the cluster is doing"
EXAMPLE = "--check"


def arguments(parser: ArgumentParser) -> None:
    text = "for scripts: exit with 9 where something is wrong, unless the cluster is in maintenance"
    parser.add_argument("--check", action="store_true", help=text)


def run(args: Namespace, api: Client, out: Output) -> None:
    status = api.get("status")
    out.show(status, _sheet)
    if args.check and status["alarm"] not in ("none", "silenced"):
        count = len(status["cluster_health"]["messages"])
        things = "One thing is" if count == 1 else f"{count} things are"
        raise Failure("unhealthy", f"{things} wrong: the cluster's health is {status['cluster_health']['health']}%.")


def _sheet(status: dict[str, Any]) -> Iterator[str]:
    health = status.get("cluster_health", {})
    facts = [
        ("Health", f"{health['health']}%" if "health" in health else ""),
        ("Alarm", status.get("alarm")),
        ("Maintenance", _maintenance(status)),
        ("Mode", status.get("mode")),
        ("Version", status.get("pvc_version")),
        *((title, _count(status[noun])) for noun, title in _NOUNS.items() if noun in status),
    ]
    yield from sheet(facts)
    columns = [(">POINTS", "points"), ("WHAT IS WRONG", "text")]
    yield from section("Reasons", status.get("reasons", []), columns)
    nodes = [{"name": name, **node} for name, node in status.get("node_health", {}).items()]
    yield from section("Nodes", nodes, [("NAME", "name"), (">HEALTH", "health"), ("MESSAGES", "messages")])


def _maintenance(status: dict[str, Any]) -> str:
    if status.get("maintenance") != "true":
        return "off"
    by, since = status.get("maintenance_by"), moment(status.get("maintenance_since"))
    return "on" + (f" since {since}" if since else "") + (f", by {by}" if by else "")


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
