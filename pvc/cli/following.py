"""Following a task from the command line: its progress until it has ended, whoever began it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.output import Output
from pvc.cli.progress import Progress

_LONGEST_POLL_S = 30


def waiting(parser: ArgumentParser) -> None:
    """The options of a command that makes a task."""
    wait = parser.add_mutually_exclusive_group()
    wait.add_argument("--wait", action="store_true", default=True, help="follow it to its end (default)")
    wait.add_argument("--no-wait", dest="wait", action="store_false", help="return once the request is accepted")


def follow(task_id: str, api: Client, out: Output, cancel: str = "") -> dict[str, Any]:
    """Return the task once it has ended well; its failure is raised.

    cancel: the question that an interruption is answered with; without one, an interruption ends this and not the task.
    """
    progress = Progress()
    task: dict[str, Any] = {"status": "running", "version": -1}
    while task["status"] == "running":
        try:
            task = api.get("tasks", task_id, after=task["version"], wait=_LONGEST_POLL_S)
            if task["status"] == "running":
                progress.show(task["phase"] or task["kind"], task["done"], task["total"])
        except KeyboardInterrupt:
            progress.finish(whole=False)
            _interrupted(task_id, api, out, cancel)
    progress.finish(whole=task["status"] == "done")
    if task["status"] != "done":
        raise _failure(task)
    return task


def _failure(task: dict[str, Any]) -> Failure:
    cancelled = task["status"] == "cancelled"
    code = "cancelled" if cancelled else task["problem"].get("code", "internal")
    text = f'The task "{task["id"]}" {"was cancelled" if cancelled else "failed"}.'
    return Failure(code, task["problem"].get("message", text))


def _interrupted(task_id: str, api: Client, out: Output, cancel: str) -> None:
    """Ask what the interruption means; a second one, or nobody to ask, leaves the task to itself."""
    if cancel and sys.stdin.isatty():
        out.note(f"{cancel} [y/N]")
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            _cancel(task_id, api, out)
            return
    out.note(f'It goes on as task "{task_id}".')
    raise KeyboardInterrupt


def _cancel(task_id: str, api: Client, out: Output) -> None:
    try:
        out.note(api.post("tasks", task_id, action="cancel")["message"])
    except Failure as exc:
        out.note(str(exc))
