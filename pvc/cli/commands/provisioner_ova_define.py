from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.output import Output

HELP = "define a VM like the machine of an OVA, on copies of its disks"
EXAMPLE = 'web1 appliance --network "VM Network=100"'

_DEFINITION = Followed("definition", "Nothing is left of it then.")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the VM")
    parser.add_argument("ova", metavar="OVA")
    parser.add_argument(
        "--network",
        action="append",
        metavar="THEIRS=OURS",
        help="which network, by VNI or description, is meant by each that the OVA names; may be repeated",
    )
    parser.add_argument("-t", "--node", metavar="NODE", help="where it runs; default: chosen by the selector")
    parser.add_argument("-l", "--limit", action="append", metavar="NODE", help="it runs only there; may be repeated")
    text = "how its node is chosen"
    parser.add_argument("--selector", choices=("mem", "memprov", "vcpus", "load", "vms", "none"), help=text)
    following.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    answer = api.post(
        *("provisioner", "ova", args.ova, "define"),
        name=args.name,
        network=args.network,
        node=args.node,
        limit=args.limit,
        selector=args.selector,
        wait=False,
    )
    following.show(_DEFINITION, answer, args, api, out)
