from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "print the libvirt XML of a VM"
EXAMPLE = "web1 > web1.xml"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")


def run(args: Namespace, api: Client, out: Output) -> None:
    vm = api.one("vm", args.vm)
    out.show({"name": vm["name"], "xml": vm["xml"]}, lambda answer: [answer["xml"].rstrip("\n")])
