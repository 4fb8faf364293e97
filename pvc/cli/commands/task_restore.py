from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from pvc.cli import passphrase, replacing
from pvc.cli.client import Client
from pvc.cli.document import read
from pvc.cli.output import Output, confirm

HELP = "make a backup the cluster's configuration, whole and at once; guests that run go on"
EXAMPLE = "-f /root/cluster.json --dry-run"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-f", "--file", metavar="FILE", required=True, help='the backup, "-" for stdin')
    parser.add_argument("--only", nargs=2, metavar=("vm", "NAME"), help="nothing but this VM")
    parser.add_argument("--no-secrets", action="store_true", help="without what a passphrase opens; do not ask for it")
    passphrase.arguments(parser)
    replacing.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    document = read(args.file).encode()
    if args.only is not None:
        _one_vm(args, document, api, out)
        return
    opens = _passphrase(args, document)

    def ask(**more: Any) -> Any:
        return api.document("restore", data=document, passphrase=opens, **more)

    replacing.replace("restore", args, api, out, ask, f'Restore "{args.file}"?')


def _passphrase(args: Namespace, document: bytes) -> str:
    """Nothing where there are no secrets, or they are not wanted."""
    if args.no_secrets:
        return ""
    if args.passphrase_file is not None:
        return passphrase.of_file(args.passphrase_file)
    return passphrase.of_old() if _has_secrets(document) else ""


def _has_secrets(document: bytes) -> bool:
    """Without reading all of it: quotes inside of JSON's texts are escaped."""
    import re

    return re.search(rb'"secrets"\s*:\s*\{', document) is not None


def _one_vm(args: Namespace, document: bytes, api: Client, out: Output) -> None:
    kind, name = args.only
    if kind != "vm":
        from pvc.cli.failure import Failure

        raise Failure("usage", 'Only "--only vm NAME" is known.')
    if args.dry_run:
        out.show(api.document("restore", data=document, vm=name, dry_run=True), replacing.told)
        return
    confirm(f'Restore VM "{name}" from "{args.file}"?', agreed=args.yes)
    out.changed(api.document("restore", data=document, vm=name, force=args.force, **replacing.CONFIRMED))
