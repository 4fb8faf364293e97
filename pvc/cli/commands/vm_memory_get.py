from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import mebibytes, sheet
from pvc.cli.output import Output

HELP = "show the memory of a VM"
EXAMPLE = "web1"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("vm", args.vm, "memory"), lambda vm: sheet([("Memory", mebibytes(vm["memory"]))]))
