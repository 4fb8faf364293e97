from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output
from pvc.cli.when import when

HELP = "plug a volume into a VM"
EXAMPLE = "web1 local/data1 -b virtio"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("volume", metavar="POOL/VOLUME")
    parser.add_argument("-d", "--device", metavar="DEV", help="as vdb; default: the next that is free")
    parser.add_argument("-b", "--bus", metavar="BUS", help="virtio, scsi or another; default: what suits the device")
    when(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    answer = api.post(
        "vm",
        args.vm,
        "volume",
        volume=args.volume,
        disk_id=args.device,
        bus=args.bus,
        live=args.live,
        restart=args.restart,
    )
    out.changed(answer)
