from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "rename a stopped VM and the volumes that are named after it"
EXAMPLE = "web1 www1"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("new_name", metavar="NEW")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("vm", args.vm, "rename", new_name=args.new_name))
