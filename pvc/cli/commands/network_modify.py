from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "change what a network is called, or its MTU"
EXAMPLE = "100 -d servers"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vni", metavar="VNI")
    parser.add_argument("-d", "--description", metavar="DESCRIPTION", help="its name for people")
    parser.add_argument("-m", "--mtu", type=int, metavar="MTU", help="largest packet, bytes")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.put("network", args.vni, description=args.description, mtu=args.mtu))
