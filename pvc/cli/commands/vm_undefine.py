from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output, confirm

HELP = "stop and forget a VM; its volumes stay"
EXAMPLE = "web1 -y"

_REMOVAL = Followed("removal")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    if args.dry_run:
        out.changed(api.delete("vm", args.vm, dry_run=True))
        return
    confirm(f'Stop VM "{args.vm}" and forget it?', agreed=args.yes)
    following.show(_REMOVAL, api.delete("vm", args.vm, wait=False), args, api, out)
