from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output, confirm

HELP = "remove a volume with its data"
EXAMPLE = "local web1 -y"

_REMOVAL = Followed("removal")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    confirm(f'Remove volume "{args.pool}/{args.volume}" with all its data?', agreed=args.yes)
    answer = api.delete("storage", "ceph", "volume", args.pool, args.volume, wait=False)
    following.show(_REMOVAL, answer, args, api, out)
