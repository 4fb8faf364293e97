from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output

HELP = "take a snapshot of a volume"
EXAMPLE = "local web1 before-upgrade"

_SNAPSHOT = Followed("snapshot", "Nothing is left of it then.")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("name", metavar="NAME")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    answer = api.post("storage", "ceph", "snapshot", args.pool, args.volume, args.name, wait=False)
    following.show(_SNAPSHOT, answer, args, api, out)
