from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "rename a volume"
EXAMPLE = "local web1 www1"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("new_name", metavar="NEW")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.put("storage", "ceph", "volume", args.pool, args.volume, new_name=args.new_name))
