from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, Row, moment, table
from pvc.cli.output import Output

HELP = "list tasks"
EXAMPLE = "--status running"

# What happens to these may change the list.
EVENTS = ("task",)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("limit", nargs="?", metavar="LIMIT", help="regular expression that the name matches")
    parser.add_argument("--kind", metavar="KIND", help="as upload, clone or migrate")
    parser.add_argument("--target", metavar="TARGET", help="as vm/UUID or volume/POOL/NAME")
    parser.add_argument("--status", choices=("running", "done", "failed", "cancelled"), help="those that are so")


def run(args: Namespace, api: Client, out: Output) -> None:
    tasks = api.get("tasks", limit=args.limit, kind=args.kind, target=args.target, status=args.status)
    out.show(tasks, lambda tasks: table(tasks, COLUMNS))


def share(task: Row) -> str:
    return f"{task['done'] / task['total']:.0%}" if task.get("total") else ""


def status(task: Row) -> str:
    asked = task.get("cancel") and task.get("status") == "running"
    return "running, to be cancelled" if asked else str(task.get("status", ""))


COLUMNS: list[Column] = [
    ("ID", "id"),
    ("KIND", "kind"),
    ("NAME", "name"),
    ("STATUS", status),
    ("PHASE", "phase"),
    (">DONE", share),
    ("NODE", "node"),
    ("TO", "to"),
    ("CREATED", lambda task: moment(task.get("created_at"))),
]
