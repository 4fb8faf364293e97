from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "set the memory of a VM, for its next start on"
EXAMPLE = "web1 4G --restart"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("memory", metavar="SIZE", help="MiB, or with a suffix M, G or T; no more than its node has")
    parser.add_argument("--restart", action="store_const", const=True, help="restart the VM so that it holds at once")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("vm", args.vm, "memory", memory=args.memory, restart=args.restart))
