from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output, confirm

HELP = "remove a network that no VM is on"
EXAMPLE = "100 -y"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vni", metavar="VNI")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: Namespace, api: Client, out: Output) -> None:
    confirm(f'Remove network "{args.vni}"?', agreed=args.yes)
    out.changed(api.delete("network", args.vni))
