from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output, confirm

HELP = "stop and forget a VM, and remove its volumes"
EXAMPLE = "web1 -y"

_REMOVAL = Followed("removal")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    if args.dry_run:
        out.changed(api.delete("vm", args.vm, delete_disks=True, dry_run=True))
        return
    confirm(f'Stop VM "{args.vm}", forget it and remove its volumes with all their data?', agreed=args.yes)
    following.show(_REMOVAL, api.delete("vm", args.vm, delete_disks=True, wait=False), args, api, out)
