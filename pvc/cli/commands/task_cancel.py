from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "ask a running task to end; a guest stays where it was, a volume as it was"
EXAMPLE = "6ba7b8109dad11d180b400c04fd430c8"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.post("tasks", args.id, action="cancel"), lambda answer: [answer["message"]])
