from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from pvc.cli import clusters
from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.output import Output

HELP = "give a cluster a name, for -c"
EXAMPLE = "work https://192.0.2.10:7370 --token-file ~/.pvc-token"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="letters, digits and dashes; an existing one is replaced")
    parser.add_argument("address", metavar="ADDRESS", help="unix:/PATH, http://HOST:PORT or https://HOST:PORT")


def run(args: Namespace, api: Client, out: Output) -> None:
    if not args.name.replace("-", "").isalnum() or not args.name.isascii():
        raise Failure("usage", "A cluster's name has letters, digits and dashes only.")
    if not args.address.startswith(("unix:/", "http://", "https://")):
        problem = (
            f'"{args.address}" is no address of a server: write unix:/PATH, http://HOST:PORT or https://HOST:PORT.'
        )
        raise Failure("usage", problem)
    kept = clusters.load()
    kept[args.name] = {"address": args.address, "token_file": _absolute(args.token_file), "ca": _absolute(args.ca)}
    clusters.save(kept)
    out.changed({"message": f'Cluster "{args.name}" is "{args.address}".'})


def _absolute(file: str) -> str:
    return os.path.abspath(os.path.expanduser(file)) if file else ""
