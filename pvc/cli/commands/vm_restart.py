from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output
from pvc.cli.power import ask_each, deadline, names

HELP = "restart VMs: shut them down, then start them"
EXAMPLE = "web1"


def arguments(parser: ArgumentParser) -> None:
    names(parser)
    deadline(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    ask_each("restart", args, api, out, wait=not args.no_wait, timeout=args.timeout)
