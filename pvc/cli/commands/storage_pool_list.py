from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, size, table
from pvc.cli.output import Output

HELP = "list pools"
EXAMPLE = ""

COLUMNS: list[Column] = [
    ("NAME", "name"),
    (">VOLUMES", "volume_count"),
    (">SIZE", lambda pool: size(pool.get("stats", {}).get("total_bytes"))),
    (">USED", lambda pool: size(pool.get("stats", {}).get("used_bytes"))),
    (">FREE", lambda pool: size(pool.get("stats", {}).get("free_bytes"))),
    ("NODE", lambda pool: pool.get("node") or "all"),
    ("PROBLEM", "problem"),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("limit", nargs="?", metavar="LIMIT", help="regular expression that the name matches")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("storage", "ceph", "pool", limit=args.limit), lambda pools: table(pools, COLUMNS))
