from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output, confirm

HELP = "set a volume back to a snapshot"
EXAMPLE = "local web1 before-upgrade -y"

_ROLLBACK = Followed("rollback")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    question = f'Set volume "{args.pool}/{args.volume}" back to "{args.name}" and lose what was written since?'
    confirm(question, agreed=args.yes)
    path = ("storage", "ceph", "snapshot", args.pool, args.volume, args.name, "rollback")
    following.show(_ROLLBACK, api.post(*path, wait=False), args, api, out)
