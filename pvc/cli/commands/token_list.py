from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, moment, table
from pvc.cli.output import Output

HELP = "list tokens by name"
EXAMPLE = ""


def arguments(parser: ArgumentParser) -> None:
    pass


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("tokens"), lambda tokens: table(tokens, COLUMNS))


COLUMNS: list[Column] = [
    ("NAME", "name"),
    ("ROLE", "role"),
    ("MADE BY", "created_by"),
    ("MADE", lambda token: moment(token.get("created_at"))),
    ("PROBLEM", "problem"),
]
