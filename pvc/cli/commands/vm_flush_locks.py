from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, table
from pvc.cli.output import Output

HELP = "break the locks that a dead machine left on the volumes of a stopped VM"
EXAMPLE = "web1 --list"

COLUMNS: list[Column] = [("VOLUME", "volume"), ("OWNER", "owner"), ("ADDRESS", "address")]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="VM")
    parser.add_argument("--list", action="store_true", help="only show who has the volumes locked, alive or not")


def run(args: Namespace, api: Client, out: Output) -> None:
    if args.list:
        out.show(api.get("vm", args.name, "locks"), lambda locks: table(locks, COLUMNS))
        return
    out.changed(api.post("vm", args.name, "locks"))
