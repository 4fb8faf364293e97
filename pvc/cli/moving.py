"""What the commands that move VMs between nodes have in common."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client, Parameter
from pvc.cli.following import Followed
from pvc.cli.output import Output

METHODS = "how it goes to another node; live: never by a shutdown, shutdown: always, none: when live has failed"
_MIGRATION = Followed("migration", "The guest then stays where it was.")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="VM")
    text = "move the running guest or leave it where it is; never shut it down"
    parser.add_argument("--force-live", action="store_true", help=text)
    following.arguments(parser)


def target(parser: ArgumentParser) -> None:
    parser.add_argument("-t", "--target", metavar="NODE", help="default: chosen by the VM's selector")


def move(action: str, args: Namespace, api: Client, out: Output, **parameters: Parameter) -> None:
    answer = api.post("vm", args.name, "node", action=action, force_live=args.force_live, **parameters)
    following.show(_MIGRATION, answer, args, api, out)
