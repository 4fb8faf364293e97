from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import printable
from pvc.cli.output import Output

HELP = "make a token for a client on the network, and print it this once"
EXAMPLE = "backup-host -r read >/root/pvc.token"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="whose it is")
    parser.add_argument(
        "-r",
        "--role",
        required=True,
        choices=("read", "operate", "admin"),
        help="read: see everything; operate: change VMs, volumes and networks, too; admin: the cluster as well",
    )


def run(args: Namespace, api: Client, out: Output) -> None:
    answer = api.post("tokens", name=args.name, role=args.role)
    out.note(printable(answer["message"]))
    out.show(answer, lambda answer: [answer["token"]])
