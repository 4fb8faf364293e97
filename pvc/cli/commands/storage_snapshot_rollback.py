from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output, confirm

HELP = "set a volume back to a snapshot"
EXAMPLE = "local web1 before-upgrade -y"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: Namespace, api: Client, out: Output) -> None:
    question = f'Set volume "{args.pool}/{args.volume}" back to "{args.name}" and lose what was written since?'
    confirm(question, agreed=args.yes)
    out.changed(api.post("storage", "ceph", "snapshot", args.pool, args.volume, args.name, "rollback"))
