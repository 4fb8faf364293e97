"""What the server does with an upload, told between its last byte and the answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.progress import Progress

# Seconds the server may take to answer before its task is asked how far it is, and between two such questions.
PATIENCE_S, LONGEST_POLL_S = 0.2, 10


def watch(answered: Callable[[float], bool], target: str, api: Client, progress: Progress) -> None:
    """Show what the server does until it answers. Not knowing does no harm to the upload."""
    if answered(PATIENCE_S):
        return
    with suppress(Failure):
        for task in api.get("tasks", target=target, status="running")[:1]:
            while task["status"] == "running" and not answered(0):
                if task["phase"]:
                    progress.show(task["phase"], task["done"], task["total"])
                task = api.get("tasks", task["id"], after=task["version"], wait=LONGEST_POLL_S)
