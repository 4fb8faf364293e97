from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "tell all OSDs what not to do, as noout"
EXAMPLE = "noout"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("option", metavar="OPTION", help="noout, noin, norebalance, ...")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("storage", "ceph", "option", option=args.option, action="set"))
