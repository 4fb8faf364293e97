from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, table
from pvc.cli.output import Output

HELP = "list the configurations that restores left"
EXAMPLE = ""


def arguments(parser: ArgumentParser) -> None:
    pass


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("generations"), lambda found: table(found, COLUMNS))


COLUMNS: list[Column] = [
    ("GENERATION", "generation"),
    ("IN FORCE", lambda one: "yes" if one["in_force"] else ""),
    ("MADE BY", "made"),
    ("WHO", "who"),
    ("CREATED", "created_at"),
]
