from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import clusters
from pvc.cli.client import Client
from pvc.cli.layout import Column, table
from pvc.cli.output import Output

HELP = "list the clusters that have names here"
EXAMPLE = ""

COLUMNS: list[Column] = [("NAME", "name"), ("ADDRESS", "address"), ("TOKEN FILE", "token_file"), ("CA", "ca")]


def arguments(parser: ArgumentParser) -> None:
    pass


def run(args: Namespace, api: Client, out: Output) -> None:
    rows = [{"name": name, **cluster} for name, cluster in sorted(clusters.load().items())]
    out.show(rows, lambda rows: table(rows, COLUMNS))
