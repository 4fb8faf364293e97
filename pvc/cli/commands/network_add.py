from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "add a network"
EXAMPLE = "100 -d servers -b vmbr100"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vni", type=int, metavar="VNI", help="its number")
    parser.add_argument("-d", "--description", required=True, metavar="DESCRIPTION", help="its name for people")
    parser.add_argument("-p", "--type", default="bridged", metavar="TYPE", help="default: bridged")
    parser.add_argument("-b", "--bridge", metavar="BRIDGE", help="the bridge on every node; default: vmbrVNI")
    parser.add_argument(
        "-m", "--mtu", type=int, metavar="MTU", help="largest packet, bytes; default: what the bridge has"
    )


def run(args: Namespace, api: Client, out: Output) -> None:
    answer = api.post(
        "network", vni=args.vni, description=args.description, nettype=args.type, mtu=args.mtu, bridge=args.bridge
    )
    out.changed(answer)
