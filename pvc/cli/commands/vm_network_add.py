from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output
from pvc.cli.when import when

HELP = "plug a VM into a network"
EXAMPLE = "web1 100 --model virtio"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("net", metavar="NET", help="VNI of the network")
    parser.add_argument("-a", "--mac", metavar="MAC", help="default: a new one")
    parser.add_argument("-m", "--model", metavar="MODEL", help="default: virtio")
    when(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(
        api.post(
            "vm", args.vm, "network", net=args.net, mac=args.mac, model=args.model, live=args.live, restart=args.restart
        )
    )
