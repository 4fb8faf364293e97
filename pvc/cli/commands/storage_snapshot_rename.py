from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "rename a snapshot"
EXAMPLE = "local web1 before-upgrade bookworm"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("new_name", metavar="NEW")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.put("storage", "ceph", "snapshot", args.pool, args.volume, args.name, new_name=args.new_name))
