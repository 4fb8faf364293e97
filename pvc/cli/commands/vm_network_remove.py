from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.output import Output
from pvc.cli.when import when

HELP = "unplug a VM from a network"
EXAMPLE = "web1 100"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("net", nargs="?", metavar="NET", help="VNI of the network")
    parser.add_argument("-a", "--mac", metavar="MAC", help="the interface, where the network has several")
    when(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    if not (args.net or args.mac):
        raise Failure("usage", "Name the interface by its network, by -a MAC, or both.")
    out.changed(api.delete("vm", args.vm, "network", net=args.net, mac=args.mac, live=args.live, restart=args.restart))
