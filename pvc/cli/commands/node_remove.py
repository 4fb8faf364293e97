from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output, confirm

HELP = "forget a node that left for good and has no VM"
EXAMPLE = "hv3 -y"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: Namespace, api: Client, out: Output) -> None:
    confirm(f'Remove node "{args.node}" from the cluster?', agreed=args.yes)
    out.changed(api.delete("node", args.node))
