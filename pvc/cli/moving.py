"""What the commands that move VMs between nodes have in common."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from pvc.cli.client import Client, Parameter
from pvc.cli.failure import Failure
from pvc.cli.output import Output
from pvc.cli.progress import Progress

_LONGEST_POLL_S = 30


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="VM")
    text = "move the running guest or leave it where it is; never shut it down"
    parser.add_argument("--force-live", action="store_true", help=text)
    wait = parser.add_mutually_exclusive_group()
    wait.add_argument("--wait", action="store_true", default=True, help="follow it to its end (default)")
    wait.add_argument("--no-wait", dest="wait", action="store_false", help="return once the request is accepted")


def target(parser: ArgumentParser) -> None:
    parser.add_argument("-t", "--target", metavar="NODE", help="default: chosen by the VM's selector")


def move(action: str, args: Namespace, api: Client, out: Output, **parameters: Parameter) -> None:
    answer = api.post("vm", args.name, "node", action=action, force_live=args.force_live, **parameters)
    if answer.get("task") and args.wait:
        out.note(answer["message"])
        task = _follow(answer["task"], api, out)
        answer = {**answer, "message": task["result"], **task["figures"]}
    out.show(answer, lambda answer: [answer["message"]])


def _follow(task_id: str, api: Client, out: Output) -> dict[str, Any]:
    """Return the task once it has ended well."""
    progress = Progress(quiet=out.quiet)
    task: dict[str, Any] = {"status": "running", "version": -1}
    while task["status"] == "running":
        try:
            task = api.get("tasks", task_id, after=task["version"], wait=_LONGEST_POLL_S)
            if task["status"] == "running":
                progress.show(task["phase"], task["done"], task["total"])
        except KeyboardInterrupt:
            progress.finish(whole=False)
            _interrupted(task_id, api, out)
    progress.finish(whole=task["status"] == "done")
    if task["status"] != "done":
        code = "cancelled" if task["status"] == "cancelled" else task["problem"].get("code", "internal")
        raise Failure(code, task["problem"].get("message", "The migration failed."))
    return task


def _interrupted(task_id: str, api: Client, out: Output) -> None:
    """Ask what the interruption means; a second one, or nobody to ask, leaves the migration to itself."""
    if not sys.stdin.isatty():
        out.note(f'The migration goes on as task "{task_id}".')
        raise KeyboardInterrupt
    out.note("Cancel the migration? The guest then stays where it was. [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        out.note(f'The migration goes on as task "{task_id}".')
        raise KeyboardInterrupt
    try:
        out.note(api.post("tasks", task_id, action="cancel")["message"])
    except Failure as exc:
        out.note(str(exc))
