from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from pvc.cli.client import Client
from pvc.cli.layout import Column, Row, mebibytes, table
from pvc.cli.output import Output

HELP = "list nodes"
EXAMPLE = "-d dead"

_MEMORY = {
    "MEMORY": "total",
    "USED": "used",
    "FREE": "free",
    "ALLOCATED": "allocated",
    "PROVISIONED": "provisioned",
}


def _memory(kind: str) -> Callable[[Row], object]:
    return lambda node: mebibytes(node.get("memory", {}).get(kind))


COLUMNS: list[Column] = [
    ("NAME", "name"),
    ("DAEMON", "daemon_state"),
    ("DOMAINS", "domain_state"),
    (">HEALTH", "health"),
    (">VMS", "domains_count"),
    (">CPUS", "cpu_count"),
    (">VCPUS", lambda node: node.get("vcpu", {}).get("allocated")),
    (">LOAD", "load"),
    *((f">{title}", _memory(kind)) for title, kind in _MEMORY.items()),
    ("VERSION", "pvc_version"),
    ("PROBLEM", "problem"),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("limit", nargs="?", metavar="LIMIT", help="regular expression that the name matches")
    parser.add_argument("-d", "--daemon-state", metavar="STATE", help="those whose agent is run, init, stop or dead")
    parser.add_argument("-s", "--domain-state", metavar="STATE", help="those that are ready, flush or flushed")


def run(args: Namespace, api: Client, out: Output) -> None:
    nodes = api.get("node", limit=args.limit, daemon_state=args.daemon_state, domain_state=args.domain_state)
    out.show(nodes, lambda nodes: table(nodes, COLUMNS))
