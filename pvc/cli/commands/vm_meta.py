from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.moving import METHODS
from pvc.cli.output import Output

HELP = "change where a VM may run and how it moves; what is not named stays"
EXAMPLE = "web1 -m live -l hv1 -l hv2"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument(
        "-l", "--limit", action="append", metavar="NODE", help='it runs only there; may be repeated, "" is anywhere'
    )
    parser.add_argument(
        "-s", "--selector", choices=("mem", "memprov", "vcpus", "load", "vms", "none"), help="how its node is chosen"
    )
    parser.add_argument("--autostart", action=BooleanOptionalAction, help="start it when its node comes up")
    parser.add_argument("-p", "--profile", metavar="PROFILE", help='"" is none')
    parser.add_argument("-m", "--method", choices=("live", "shutdown", "none"), help=METHODS)
    text = "how long a live migration may let it stand still; 0: as its node says"
    parser.add_argument("--max-downtime", type=int, metavar="MS", help=text)


def run(args: Namespace, api: Client, out: Output) -> None:
    given = {
        "limit": args.limit,
        "selector": args.selector,
        "autostart": args.autostart,
        "profile": args.profile,
        "migration_method": args.method,
        "migration_max_downtime": args.max_downtime,
    }
    if all(value is None for value in given.values()):
        raise Failure("usage", "Nothing to change: give one of -l, -s, --autostart, -p, -m and --max-downtime.")
    out.changed(api.post("vm", args.vm, "meta", **given))
