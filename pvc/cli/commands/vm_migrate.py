from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import moving
from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "move a VM to another node for a time"
EXAMPLE = "web1 -t hv2"


def arguments(parser: ArgumentParser) -> None:
    moving.arguments(parser)
    moving.target(parser)
    parser.add_argument("--force", action="store_true", help="although it was migrated before")


def run(args: Namespace, api: Client, out: Output) -> None:
    moving.move("migrate", args, api, out, node=args.target, force=args.force)
