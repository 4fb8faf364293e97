from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from pvc.cli.client import Client
from pvc.cli.layout import Column, Row, moment, section, table
from pvc.cli.output import Output

HELP = "list the tags of a VM; also: vm tag list"
EXAMPLE = "web1"

COLUMNS: list[Column] = [("NAME", "name"), ("TYPE", "type"), ("PROTECTED", "protected")]
LIFTED: list[Column] = [("TAG", "tag"), ("BY", "who"), ("AT", lambda one: moment(one["at"]))]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("vm", args.vm, "tags"), _shown)


def _shown(answer: Row) -> Iterator[str]:
    yield from table(answer["tags"], COLUMNS)
    yield from section("Protection lifted", answer.get("unprotected", []), LIFTED)
