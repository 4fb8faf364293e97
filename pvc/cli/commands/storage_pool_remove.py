from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output, confirm

HELP = "remove a pool from Ceph with all volumes in it, which no VM may have"
EXAMPLE = "fast -y"

_REMOVAL = Followed("removal")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="POOL")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    path = ("storage", "ceph", "pool", args.name)
    if args.dry_run:
        out.changed(api.delete(*path, dry_run=True))
        return
    confirm(f'Remove pool "{args.name}" from Ceph with all volumes in it, for good?', agreed=args.yes)
    answer = api.delete(*path, wait=False, **{"yes-i-really-mean-it": "yes"})
    following.show(_REMOVAL, answer, args, api, out)
