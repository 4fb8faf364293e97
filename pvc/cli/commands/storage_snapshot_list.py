from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, moment, size, table
from pvc.cli.output import Output

HELP = "list snapshots"
EXAMPLE = "local web1"

COLUMNS: list[Column] = [
    ("POOL", "pool"),
    ("VOLUME", "volume"),
    ("SNAPSHOT", "snapshot"),
    (">SIZE", lambda snapshot: size(snapshot.get("size_bytes"))),
    ("CREATED", lambda snapshot: moment(snapshot.get("created_at"))),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", nargs="?", metavar="POOL")
    parser.add_argument("volume", nargs="?", metavar="VOLUME")
    parser.add_argument("--limit", metavar="LIMIT", help="regular expression that the snapshot's name matches")


def run(args: Namespace, api: Client, out: Output) -> None:
    snapshots = api.get("storage", "ceph", "snapshot", pool=args.pool, volume=args.volume, limit=args.limit)
    out.show(snapshots, lambda snapshots: table(snapshots, COLUMNS))
