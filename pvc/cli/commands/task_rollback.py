from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from pvc.cli import replacing
from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "return to the configuration before the last restore, or to another one that is kept"
EXAMPLE = "--dry-run"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("generation", metavar="GENERATION", nargs="?", help="default: the one before")
    replacing.arguments(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    question = f'Return to generation "{args.generation}"?' if args.generation else "Return to the generation before?"

    def ask(**more: Any) -> Any:
        return api.post("rollback", generation=args.generation, **more)

    replacing.replace("rollback", args, api, out, ask, question)
