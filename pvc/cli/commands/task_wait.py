from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.following import Followed, follow
from pvc.cli.output import Output
from pvc.cli.progress import COUNTED

HELP = "show how a task goes until it has ended; its failure is this command's"
EXAMPLE = "6ba7b8109dad11d180b400c04fd430c8"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")


def run(args: Namespace, api: Client, out: Output) -> None:
    task = api.get("tasks", args.id)
    task = follow(Followed(f'task "{args.id}"', counts=COUNTED.get(task.get("kind", ""), "")), task, api, out)
    out.show(task, lambda task: [task["result"] or f'The task "{args.id}" is done.'])
