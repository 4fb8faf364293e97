from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output
from pvc.cli.when import when

HELP = "unplug a volume from a VM; its data stays"
EXAMPLE = "web1 local/data1"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("volume", metavar="POOL/VOLUME")
    when(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.delete("vm", args.vm, "volume", volume=args.volume, live=args.live, restart=args.restart))
