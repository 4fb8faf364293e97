from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Row, sheet, size
from pvc.cli.output import Output

HELP = "show one volume"
EXAMPLE = "local web1"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")


def run(args: Namespace, api: Client, out: Output) -> None:
    volume = api.one("storage", "ceph", "volume", args.pool, args.volume)
    out.show(volume, lambda volume: sheet(_facts(volume)))


def _facts(volume: Row) -> list[tuple[str, object]]:
    stats = volume.get("stats", {})
    facts: list[tuple[str, object]] = [
        ("Pool", volume["pool"]),
        ("Name", volume["name"]),
        ("Size", size(stats.get("size"))),
        ("Used", size(stats.get("used_bytes"))),
        ("Snapshots", stats.get("snapshot_count")),
        ("Created", stats.get("create_timestamp")),
        ("Modified", stats.get("modify_timestamp")),
    ]
    return [*facts, ("Problem", volume["problem"])] if volume.get("problem") else facts
