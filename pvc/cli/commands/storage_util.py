from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.commands.storage_status import text
from pvc.cli.output import Output

HELP = "show how full Ceph is"
EXAMPLE = ""


def arguments(parser: ArgumentParser) -> None:
    pass


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("storage", "ceph", "utilization"), text)
