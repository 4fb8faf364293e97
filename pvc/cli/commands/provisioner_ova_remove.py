from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output, confirm

HELP = "remove an OVA with its volumes; VMs made of it stay"
EXAMPLE = "appliance -y"

_REMOVAL = Followed("removal")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ova", metavar="OVA")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    confirm(f'Remove OVA "{args.ova}" with its volumes?', agreed=args.yes)
    following.show(_REMOVAL, api.delete("provisioner", "ova", args.ova, wait=False), args, api, out)
