from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output, confirm
from pvc.cli.replacing import told

HELP = "begin anew, without any VMs and networks; guests that run go on"
EXAMPLE = "-y"


def arguments(parser: ArgumentParser) -> None:
    text = "also a cluster that has records: they are kept as a generation"
    parser.add_argument("-o", "--overwrite", action="store_true", help=text)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only say what there would not be any more")


def run(args: Namespace, api: Client, out: Output) -> None:
    if args.dry_run:
        out.show(api.post("initialize", overwrite=args.overwrite, dry_run=True), told)
        return
    confirm(f'Initialize the cluster at "{api.url}", which then has no VMs and no networks?', agreed=args.yes)
    out.changed(api.post("initialize", overwrite=args.overwrite, **{"yes-i-really-mean-it": "yes"}))
