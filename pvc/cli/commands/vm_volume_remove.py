from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output, ask, is_watched
from pvc.cli.when import when

HELP = "unplug a volume from a VM; its data stays"
EXAMPLE = "web1 local/data1"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("volume", metavar="POOL/VOLUME")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before a running VM loses its only disk")
    when(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    if is_watched() and _is_all_it_has(args, api):
        ask(f'VM "{args.vm}" runs, and volume "{args.volume}" is its only disk. Remove it?', agreed=args.yes)
    out.changed(api.delete("vm", args.vm, "volume", volume=args.volume, live=args.live, restart=args.restart))


def _is_all_it_has(args: Namespace, api: Client) -> bool:
    vm = api.one("vm", args.vm)
    return vm["state"] in ("start", "restart") and [disk["name"] for disk in vm["disks"]] == [args.volume]
