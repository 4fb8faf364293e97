"""When a list that is watched is to be shown: at once, and whenever it may have become another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from pvc.cli.client import Client
from pvc.cli.failure import Failure

# Between two times where no event tells, and before a server that went away is asked for its events again.
INTERVAL_S = 2.0

_EVENT = b"\nevent: "


def turns(api: Client, kinds: Sequence[str]) -> Iterator[None]:
    """kinds: of the events that may change the list; none where it changes without one."""
    while True:
        told = False
        try:
            for _ in _news(api.stream("events", follow=True, kind=list(kinds))) if kinds else ():
                told = True
                yield
        except Failure:
            pass  # the list itself says what is the matter, if it still is
        if not told:
            yield
        time.sleep(INTERVAL_S)


def _news(pieces: Iterable[bytes]) -> Iterator[None]:
    """Yield at the first piece, for what happened before it is told by none, and at each that has events.

    What came while the list was shown is one piece: a storm of events is no storm of lists.
    """
    before = b""
    for number, piece in enumerate(pieces):
        text = before + piece
        before = text[1 - len(_EVENT) :]
        if number == 0 or _EVENT in text:
            yield
