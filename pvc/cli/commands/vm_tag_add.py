from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "tag a VM"
EXAMPLE = "web1 production -p"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("tag", metavar="TAG")
    parser.add_argument(
        "-p", "--protected", action="store_true", help="the tag cannot be removed before it is unprotected"
    )


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("vm", args.vm, "tags", action="add", tag=args.tag, protected=args.protected))
