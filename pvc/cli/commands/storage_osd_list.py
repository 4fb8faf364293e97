from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, Row, table
from pvc.cli.output import Output

HELP = "list Ceph's OSDs"
EXAMPLE = ""


def _share(osd: Row) -> str:
    return f"{osd['stats'].get('utilization', 0):.1f}%"


COLUMNS: list[Column] = [
    (">ID", "id"),
    ("NODE", "node"),
    ("DEVICE", "device"),
    ("DB DEVICE", "db_device"),
    ("CLASS", lambda osd: osd["stats"].get("class")),
    ("UP", lambda osd: bool(osd["stats"].get("up"))),
    ("IN", lambda osd: bool(osd["stats"].get("in"))),
    (">PGS", lambda osd: osd["stats"].get("pgs")),
    (">USED", lambda osd: osd["stats"].get("used")),
    (">FREE", lambda osd: osd["stats"].get("avail")),
    (">USED%", _share),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("limit", nargs="?", metavar="LIMIT", help="regular expression that the number matches")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("storage", "ceph", "osd", limit=args.limit), lambda osds: table(osds, COLUMNS))
