from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output
from pvc.cli.progress import COUNTED

HELP = "bring a flushed node's VMs home and let it take others"
EXAMPLE = "hv1"

_RETURN = Followed("return of the VMs", "VMs that have not come then stay away.", COUNTED["unflush"])


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE")
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    following.show(_RETURN, api.post("node", args.node, "domain-state", state="ready"), args, api, out)
