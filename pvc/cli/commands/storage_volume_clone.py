from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output

HELP = "clone a volume inside its pool"
EXAMPLE = "local web1 web2"

_COPY = Followed("copy", "Nothing is left of it then.")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("new_volume", metavar="NEW")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    path = ("storage", "ceph", "volume", args.pool, args.volume, "clone")
    following.show(_COPY, api.post(*path, new_volume=args.new_volume, wait=False), args, api, out)
