from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace

from pvc.cli.client import Client
from pvc.cli.document import read
from pvc.cli.layout import printable
from pvc.cli.moving import METHODS
from pvc.cli.output import Output

HELP = "define a VM from libvirt XML"
EXAMPLE = "web1.xml -g web"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help='libvirt domain XML, "-" for stdin')
    parser.add_argument("-t", "--node", metavar="NODE", help="where it runs; default: chosen by the selector")
    parser.add_argument("-l", "--limit", action="append", metavar="NODE", help="it runs only there; may be repeated")
    parser.add_argument(
        "--selector", choices=("mem", "memprov", "vcpus", "load", "vms", "none"), help="how its node is chosen"
    )
    parser.add_argument("--autostart", action=BooleanOptionalAction, help="start it when its node comes up")
    parser.add_argument("-m", "--method", choices=("live", "shutdown", "none"), help=METHODS)
    parser.add_argument("-g", "--tag", action="append", metavar="TAG", help="may be repeated")
    parser.add_argument("-G", "--protected-tag", action="append", metavar="TAG", help="may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="only check it, and show the XML that would be stored")


def run(args: Namespace, api: Client, out: Output) -> None:
    answer = api.post(
        "vm",
        xml=read(args.file),
        node=args.node,
        limit=args.limit,
        selector=args.selector,
        autostart=args.autostart,
        migration_method=args.method,
        user_tags=args.tag,
        protected_tags=args.protected_tag,
        dry_run=args.dry_run or None,
    )
    if args.dry_run:
        out.show(answer, lambda answer: [*map(printable, answer["xml"].splitlines()), answer["message"]])
    else:
        out.changed(answer)
