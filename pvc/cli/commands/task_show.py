from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.commands.task_list import status
from pvc.cli.layout import Row, moment, sheet, size
from pvc.cli.output import Output
from pvc.cli.progress import COUNTED

HELP = "show one task"
EXAMPLE = "6ba7b8109dad11d180b400c04fd430c8"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.get("tasks", args.id), lambda task: sheet(_facts(task)))


def _facts(task: Row) -> list[tuple[str, object]]:
    counts = COUNTED.get(str(task.get("kind")), "")
    done, total = task.get("done", 0), task.get("total", 0)
    progress = f"{done} of {total} {counts}" if counts else f"{size(done)} of {size(total)}"
    return [
        ("ID", task["id"]),
        ("Kind", task.get("kind")),
        ("Target", task.get("target")),
        ("Name", task.get("name")),
        ("Asked by", task.get("who")),
        ("Node", task.get("node")),
        *([("To node", task["to"])] if task.get("to") else []),
        ("Status", status(task)),
        ("Phase", task.get("phase")),
        ("Progress", progress if total else ""),
        ("Result", task.get("result")),
        ("Problem", (task.get("problem") or {}).get("message")),
        ("Created", moment(task.get("created_at"))),
        ("Updated", moment(task.get("updated_at"))),
    ]
