from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "take a snapshot of a volume"
EXAMPLE = "local web1 before-upgrade"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("name", metavar="NAME")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("storage", "ceph", "snapshot", args.pool, args.volume, args.name))
