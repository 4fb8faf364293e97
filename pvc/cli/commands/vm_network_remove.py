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
    parser.add_argument("net", nargs="?", metavar="NET", help="VNI of the network, or the MAC of the interface")
    parser.add_argument("-a", "--mac", metavar="MAC", help="the interface, where the network has several")
    when(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    net, mac = (None, args.net) if ":" in (args.net or "") and not args.mac else (args.net, args.mac)
    if not (net or mac):
        raise Failure("usage", "Name the interface by its network, by its MAC, or both.")
    out.changed(api.delete("vm", args.vm, "network", net=net, mac=mac, live=args.live, restart=args.restart))
