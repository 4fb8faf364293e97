from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "let a protected tag be removed again; who did it is kept"
EXAMPLE = "web1 production"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("tag", metavar="TAG")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("vm", args.vm, "tags", action="unprotect", tag=args.tag))
