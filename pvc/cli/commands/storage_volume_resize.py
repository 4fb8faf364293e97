from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output

HELP = "grow a volume, in a running guest too, or cut off its end when forced"
EXAMPLE = "local web1 20G"

_RESIZE = Followed("resize")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("size", metavar="SIZE", help="bytes, or with a suffix K, M, G or T")
    parser.add_argument("--force", action="store_true", help="allow a smaller size; what is beyond it is lost")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    path = ("storage", "ceph", "volume", args.pool, args.volume)
    answer = api.put(*path, new_size=args.size, force=args.force, wait=False)
    following.show(_RESIZE, answer, args, api, out)
