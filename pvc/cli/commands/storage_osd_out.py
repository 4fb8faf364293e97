from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "move an OSD's data elsewhere, and give it none"
EXAMPLE = "0"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("osd", metavar="OSD")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.changed(api.post("storage", "ceph", "osd", args.osd, "state", state="out"))
