from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import log
from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "print what a guest wrote on its console"
EXAMPLE = "web1 -l 50 -f"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    log.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    log.run(args, api, out, "vm", args.vm, "console")
