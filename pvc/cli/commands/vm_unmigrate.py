from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import moving
from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "bring a VM back to the node it was migrated from"
EXAMPLE = "web1"


def arguments(parser: ArgumentParser) -> None:
    moving.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    moving.move("unmigrate", args, api, out)
