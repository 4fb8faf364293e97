from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, size, table
from pvc.cli.names import names
from pvc.cli.output import Output

HELP = "list volumes"
EXAMPLE = "-p local"

_PATIENCE_S = 1.0

COLUMNS: list[Column] = [
    ("POOL", "pool"),
    ("NAME", "name"),
    (">SIZE", lambda volume: size(volume.get("stats", {}).get("size"))),
    (">USED", lambda volume: size(volume.get("stats", {}).get("used_bytes"))),
    (">SNAPSHOTS", lambda volume: volume.get("stats", {}).get("snapshot_count")),
    ("PROBLEM", "problem"),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("limit", nargs="?", metavar="LIMIT", help="regular expression that the name matches")
    parser.add_argument("-p", "--pool", metavar="POOL", help="those in this pool")


def run(args: Namespace, api: Client, out: Output) -> None:
    volumes = api.get("storage", "ceph", "volume", limit=args.limit, pool=args.pool)
    out.show(volumes, lambda volumes: table(volumes, COLUMNS))
    if args.limit and not volumes and args.limit in names(api, "pool", _PATIENCE_S, prefix=args.limit):
        out.note(f'No volume is called like the pool "{args.limit}": its volumes are listed by "-p {args.limit}".')
