from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, known, table
from pvc.cli.output import Output

HELP = "list networks"
EXAMPLE = ""

# What happens to these may change the list.
EVENTS = ("network",)

COLUMNS: list[Column] = [
    (">VNI", "vni"),
    ("DESCRIPTION", "description"),
    ("TYPE", "type"),
    ("BRIDGE", "bridge"),
    (">MTU", lambda network: known(network.get("mtu"))),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("limit", nargs="?", metavar="LIMIT", help="regular expression that VNI or description match")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("network", limit=args.limit), lambda networks: table(networks, COLUMNS))
