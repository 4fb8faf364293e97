from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from pvc.cli.client import Client
from pvc.cli.layout import printable
from pvc.cli.output import Output

HELP = "show how Ceph is"
EXAMPLE = ""


def arguments(parser: ArgumentParser) -> None:
    pass


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("storage", "ceph", "status"), text)


def text(answer: dict[str, Any]) -> Iterator[str]:
    """Ceph's own words."""
    return map(printable, answer["ceph_data"].splitlines())
