from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, Row, table
from pvc.cli.output import Output
from pvc.units import format_size

HELP = "list OVAs"
EXAMPLE = ""


def _disks(ova: Row) -> str:
    if ova.get("problem"):
        return str(ova["problem"])
    return ", ".join(format_size(volume["size"]) for volume in ova["volumes"])


COLUMNS: list[Column] = [
    ("NAME", "name"),
    (">VCPUS", lambda ova: ova.get("vcpus", "")),
    (">MEMORY", lambda ova: f"{ova['memory']}M" if "memory" in ova else ""),
    ("POOL", lambda ova: ", ".join(sorted({volume["pool"] for volume in ova["volumes"]}))),
    ("DISKS", _disks),
    ("NETWORKS", lambda ova: ", ".join(dict.fromkeys(nic["network"] for nic in ova.get("networks", [])))),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("limit", nargs="?", metavar="LIMIT", help="regular expression that the name matches")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("provisioner", "ova", limit=args.limit), lambda found: table(found, COLUMNS))
