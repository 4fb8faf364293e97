from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Row, known, sheet
from pvc.cli.output import Output

HELP = "show one network"
EXAMPLE = "100"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vni", metavar="VNI")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.one("network", args.vni), lambda network: sheet(_facts(network)))


def _facts(network: Row) -> list[tuple[str, object]]:
    return [
        ("VNI", network["vni"]),
        ("Description", network.get("description")),
        ("Type", network.get("type")),
        ("Bridge", network.get("bridge")),
        ("MTU", known(network.get("mtu"))),
    ]
