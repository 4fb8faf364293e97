from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output, confirm

HELP = "revoke a token: its holder is refused from now on"
EXAMPLE = "backup-host -y"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="TOKEN")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: Namespace, api: Client, out: Output) -> None:
    confirm(f'Revoke token "{args.name}"?', agreed=args.yes)
    out.changed(api.delete("tokens", args.name))
