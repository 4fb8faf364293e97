from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "save the cluster's configuration: VMs, networks, nodes and OVAs; disks are not in it"
EXAMPLE = "-f /root/cluster.json"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-f", "--file", metavar="FILE", help="readable by you alone; default: stdout")


def run(args: Namespace, api: Client, out: Output) -> None:
    data = api.raw("backup")
    if args.file in (None, "-"):
        out.raw(data)
        return
    from pvc.cli.document import write

    write(args.file, data)
    out.note(f'Wrote the backup to "{args.file}".')
