from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "set the CPUs of a VM, for its next start on"
EXAMPLE = "web1 4 --topology 1/4/1 --restart"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("vcpu", type=int, metavar="N", help="no more than its node has")
    parser.add_argument("--topology", metavar="S/C/T", help="sockets/cores/threads; default: as many sockets as CPUs")
    parser.add_argument("--restart", action="store_const", const=True, help="restart the VM so that it holds at once")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("vm", args.vm, "vcpu", vcpu=args.vcpu, topology=args.topology, restart=args.restart))
