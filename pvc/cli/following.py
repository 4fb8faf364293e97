"""Following a task that was just asked for to its end, or until somebody interrupts."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any, NamedTuple

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.output import Output
from pvc.cli.progress import Progress

_LONGEST_POLL_S = 30
_TICK_S = 1  # somebody watches the seconds


class Followed(NamedTuple):
    """what: the noun. outlook: what comes of it when it is cancelled, one sentence; where there is none, an
    interruption ends the following alone. counts: of what, if not bytes.
    """

    what: str
    outlook: str = ""
    counts: str = ""


def arguments(parser: ArgumentParser) -> None:
    wait = parser.add_mutually_exclusive_group()
    wait.add_argument("--wait", action="store_true", default=True, help="follow it to its end (default)")
    wait.add_argument("--no-wait", dest="wait", action="store_false", help="return once the request is accepted")


def show(followed: Followed, answer: dict[str, Any], args: Namespace, api: Client, out: Output) -> None:
    """Print the answer to the request, or with `wait` what came of its task."""
    if answer.get("task") and args.wait:
        out.note(answer["message"])
        task = follow(followed, {"id": answer["task"], "status": "running", "version": -1}, api, out)
        answer = {**answer, "message": task["result"], **task["figures"], **task.get("details", {})}
    out.changed(answer)


def follow(followed: Followed, task: dict[str, Any], api: Client, out: Output) -> dict[str, Any]:
    """Return the task once it has ended well. task: as it was last seen."""
    progress = Progress(counts=followed.counts, quiet=out.quiet)
    wait_s = _TICK_S if progress.is_watched else _LONGEST_POLL_S
    while task["status"] == "running":
        try:
            if "phase" in task:
                progress.show(task["phase"] or task["kind"], task["done"], task["total"])
            task = api.get("tasks", task["id"], after=task["version"], wait=wait_s)
        except KeyboardInterrupt:
            progress.finish(whole=False)
            _interrupted(followed, task["id"], api, out)
    progress.finish(whole=task["status"] == "done")
    if task["status"] != "done":
        raise _failure(followed, task)
    return task


def _failure(followed: Followed, task: dict[str, Any]) -> Failure:
    cancelled = task["status"] == "cancelled"
    code = "cancelled" if cancelled else task["problem"].get("code", "internal")
    text = f"The {followed.what} {'was cancelled' if cancelled else 'failed'}."
    return Failure(code, task["problem"].get("message", text))


def _interrupted(followed: Followed, task_id: str, api: Client, out: Output) -> None:
    """Ask what the interruption means; a second one, or nobody to ask, leaves the task to itself."""
    goes_on = f'The {followed.what} goes on as task "{task_id}".'
    if not (followed.outlook and sys.stdin.isatty()):
        out.note(goes_on)
        raise KeyboardInterrupt
    out.note(f"Cancel the {followed.what}? {followed.outlook} [y/N]")
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        out.note(goes_on)
        raise
    if answer.strip().lower() not in ("y", "yes"):
        out.note(goes_on)
        raise KeyboardInterrupt
    try:
        out.note(api.post("tasks", task_id, action="cancel")["message"])
    except Failure as exc:
        out.note(str(exc))
