from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output, confirm

HELP = "remove a configuration that is kept, for good"
EXAMPLE = "1 -y"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("generation", metavar="GENERATION")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: Namespace, api: Client, out: Output) -> None:
    confirm(f'Remove generation "{args.generation}" for good?', agreed=args.yes)
    out.changed(api.delete("generations", args.generation))
