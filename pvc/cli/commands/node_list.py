from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, mebibytes, table
from pvc.cli.output import Output

HELP = "list nodes"
EXAMPLE = ""

COLUMNS: list[Column] = [
    ("NAME", "name"),
    ("DAEMON", "daemon_state"),
    ("STATE", "domain_state"),
    (">HEALTH", "health"),
    (">VMS", "domains_count"),
    (">CPUS", "cpu_count"),
    (">VCPUS", lambda node: node.get("vcpu", {}).get("allocated")),
    (">LOAD", "load"),
    (">MEMORY", lambda node: mebibytes(node.get("memory", {}).get("total"))),
    (">ALLOCATED", lambda node: mebibytes(node.get("memory", {}).get("allocated"))),
    (">FREE", lambda node: mebibytes(node.get("memory", {}).get("free"))),
    ("VERSION", "pvc_version"),
    ("PROBLEM", "problem"),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("limit", nargs="?", metavar="LIMIT", help="regular expression that the name matches")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("node", limit=args.limit), lambda nodes: table(nodes, COLUMNS))
