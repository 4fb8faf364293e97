from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output
from pvc.cli.power import ask_each, deadline, names

HELP = "ask guests to shut down, and pull the plug when they do not"
EXAMPLE = "web1 --timeout 60"


def arguments(parser: ArgumentParser) -> None:
    names(parser)
    deadline(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    ask_each("shutdown", args, api, out, wait=not args.no_wait, timeout=args.timeout)
