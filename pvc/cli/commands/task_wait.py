from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.output import Output
from pvc.cli.progress import Progress

HELP = "wait until a task has ended; its failure is this command's"
EXAMPLE = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

LONGEST_POLL_S = 30


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")


def run(args: Namespace, api: Client, out: Output) -> None:
    progress = Progress(quiet=out.quiet)
    task = api.get("tasks", args.id)
    try:
        while task["status"] == "running":
            progress.show(task["phase"] or task["kind"], task["done"], task["total"])
            task = api.get("tasks", args.id, after=task["version"], wait=LONGEST_POLL_S)
    finally:
        progress.finish()
    if task["status"] == "failed":
        raise Failure(task["problem"].get("code", "internal"), task["problem"].get("message", "The task failed."))
    if task["status"] == "cancelled":
        raise Failure("cancelled", f'The task "{args.id}" was cancelled.')
    out.show(task, lambda task: [task["result"] or f'The task "{args.id}" is done.'])
