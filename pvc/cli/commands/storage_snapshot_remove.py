from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output, confirm

HELP = "remove a snapshot; the volume stays as it is"
EXAMPLE = "local web1 before-upgrade -y"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: Namespace, api: Client, out: Output) -> None:
    confirm(f'Remove snapshot "{args.name}" of volume "{args.pool}/{args.volume}"?', agreed=args.yes)
    out.changed(api.delete("storage", "ceph", "snapshot", args.pool, args.volume, args.name))
