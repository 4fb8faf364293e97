from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "add a pool to Ceph"
EXAMPLE = "fast 128 --tier nvme --replcfg copies=3,mincopies=2"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("pgs", type=int, metavar="PGS", help="placement groups, a power of 2")
    parser.add_argument("-t", "--tier", choices=("default", "hdd", "ssd", "nvme"), help="devices; default: any")
    parser.add_argument(
        "--replcfg",
        default="copies=3,mincopies=2",
        metavar="COPIES",
        help="copies of each object, and how many a write needs; default: %(default)s",
    )


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("storage", "ceph", "pool", pool=args.name, pgs=args.pgs, replcfg=args.replcfg, tier=args.tier))
