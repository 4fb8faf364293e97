from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "add an empty volume"
EXAMPLE = "local web1 10G"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("size", metavar="SIZE", help="bytes, or with a suffix K, M, G or T")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("storage", "ceph", "volume", pool=args.pool, volume=args.volume, size=args.size))
