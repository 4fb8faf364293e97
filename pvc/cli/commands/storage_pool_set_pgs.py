from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "set the number of a pool's placement groups"
EXAMPLE = "fast 256"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="POOL")
    parser.add_argument("pgs", type=int, metavar="PGS", help="a power of 2")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.put("storage", "ceph", "pool", args.name, pgs=args.pgs))
