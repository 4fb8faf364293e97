"""What this server counts of its own work: how long answers take, and what is uploaded."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from aiohttp import web

from pvc.server.exposition import Histogram

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class Measures:
    """answers: by method, path as it is declared, and status. uploaded: bytes of images, as they came."""

    answers: dict[tuple[str, str, str], Histogram] = field(default_factory=dict)
    uploaded: int = 0


MEASURES = web.AppKey("measures", Measures)
BEGAN = web.RequestKey("began", float)


async def note_answer(request: web.Request, response: web.StreamResponse) -> None:
    """Until an answer begins: how long it is then taken, and by whom, is not the server's doing."""
    key = request.method, _path(request), str(response.status)
    answers = request.app[MEASURES].answers
    if key not in answers:
        answers[key] = Histogram(BOUNDS_S)
    answers[key].note(time.monotonic() - request.get(BEGAN, time.monotonic()))


def _path(request: web.Request) -> str:
    """As declared, so that there are only so many; whatever a client makes up is one."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
