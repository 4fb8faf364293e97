from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from pvc.cli import passphrase
from pvc.cli.client import Client
from pvc.cli.output import Output, ask

HELP = "save the cluster's configuration: VMs, networks, nodes and OVAs; disks are not in it"
EXAMPLE = "-f /root/cluster.json"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-f", "--file", metavar="FILE", help="readable by you alone; default: stdout")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before a file is replaced")
    parser.add_argument("--secrets", action="store_true", help="the API's tokens, too, locked by a passphrase")
    passphrase.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    if args.file in (None, "-"):
        out.raw(_taken(args, api))
        return
    if os.path.isfile(args.file):
        ask(f'Replace the file "{args.file}", which is there already?', agreed=args.yes)
    data = _taken(args, api)
    from pvc.cli.document import write

    write(args.file, data)
    out.note(f'Wrote the backup to "{args.file}".')


def _taken(args: Namespace, api: Client) -> bytes:
    if args.secrets:
        return api.raw("backup", secrets=True, passphrase=passphrase.of_new(args.passphrase_file))
    if args.passphrase_file is not None:
        from pvc.cli.failure import Failure

        raise Failure("usage", "A passphrase is of use with --secrets only.")
    return api.raw("backup")
