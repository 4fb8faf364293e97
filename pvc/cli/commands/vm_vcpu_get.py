from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from pvc.cli.client import Client
from pvc.cli.layout import Row, known, sheet
from pvc.cli.output import Output

HELP = "show the CPUs of a VM"
EXAMPLE = "web1"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("vm", args.vm, "vcpu"), _sheet)


def _sheet(vm: Row) -> Iterator[str]:
    yield from sheet([("vCPUs", vm["vcpu"]), ("Topology", known(vm["vcpu_topology"]))])
