from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.layout import Column, Row, mebibytes, section, table
from pvc.cli.output import Output
from pvc.cli.progress import COUNTED

HELP = "empty a node: move its VMs to others, each by its own method"
EXAMPLE = "hv1 --plan"

_FLUSH = Followed("flush", "VMs that have not gone then stay.", COUNTED["flush"])


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE")
    parser.add_argument(
        "--plan", "--dry-run", action="store_true", help="only show which VM would go where, and which could not"
    )
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    if args.plan:
        out.show(api.get("node", args.node, "flush-plan"), _planned)
        return
    following.show(_FLUSH, api.post("node", args.node, "domain-state", state="flush"), args, api, out)


_VM: list[Column] = [
    ("VM", "vm"),
    (">MEMORY", lambda vm: mebibytes(vm["memory"])),
    ("RUNS", "running"),
]
_MOVES: list[Column] = [*_VM, ("NODE", "node"), ("HOW", "way")]
_STAYS: list[Column] = [*_VM, ("WHY", "reason")]


def _planned(plan: Row) -> Iterator[str]:
    yield from table(plan["moves"], _MOVES) if plan["moves"] else ["No VM would move."]
    yield from section("Not to be moved", plan["stays"], _STAYS)
