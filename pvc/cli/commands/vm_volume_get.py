from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, table
from pvc.cli.output import Output

HELP = "list the disks of a VM; also: vm volume list"
EXAMPLE = "web1"

COLUMNS: list[Column] = [("DEVICE", "dev"), ("BUS", "bus"), ("VOLUME", "name"), ("TYPE", "type")]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("vm", args.vm, "volume"), lambda disks: table(disks, COLUMNS))
