from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output
from pvc.cli.power import waiting_for

HELP = "shut a VM down and set it aside: nothing starts it by itself"
EXAMPLE = "web1"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("--force", action="store_true", help="pull the plug instead of asking the guest")
    parser.add_argument("--no-wait", action="store_true", help="return once the request is accepted")


def run(args: Namespace, api: Client, out: Output) -> None:
    api.meanwhile = waiting_for("stop" if args.force else "disable", args.vm)
    out.changed(api.post("vm", args.vm, "state", state="disable", force=args.force, wait=not args.no_wait))
