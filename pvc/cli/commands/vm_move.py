from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import moving
from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "move a VM to another node for good"
EXAMPLE = "web1 -t hv3"


def arguments(parser: ArgumentParser) -> None:
    moving.arguments(parser)
    moving.target(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    moving.move("move", args, api, out, node=args.target)
