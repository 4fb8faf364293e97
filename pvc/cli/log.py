"""What `vm log` and `node log` have in common: the last lines of a log, or all that comes."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.layout import Row
from pvc.cli.output import Output


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-l", "--lines", type=int, metavar="LINES", help="only the last so many")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until interrupted")


def run(args: Namespace, api: Client, out: Output, *path: str) -> None:
    if not args.follow:
        out.show(api.get(*path, lines=args.lines), _lines)
    elif out.machine:
        raise Failure("usage", "A log that is followed has no end, and so no JSON: leave out --follow or --output.")
    else:
        for piece in api.stream(*path, lines=args.lines, follow=True):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


def _lines(log: Row) -> list[str]:
    return log["data"].removesuffix("\n").split("\n") if log["data"] else []
