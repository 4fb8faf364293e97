"""Revisions: an answer names one that it has at least; a request that names one is answered no older than that.

So a change made through one server is seen through another at once, whatever stands between client and servers.
"""

from __future__ import annotations

import re
from contextlib import suppress

from aiohttp import web

from pvc.errors import InvalidInput, StoreUnavailable
from pvc.server.errors import Handler
from pvc.server.session import REVISION, SESSION
from pvc.store.base import Store

HEADER = "X-PVC-Revision"

_NUMBER = re.compile("[0-9]{1,18}")
_SAFE = frozenset(("GET", "HEAD"))


@web.middleware
async def name_revision(request: web.Request, handler: Handler) -> web.StreamResponse:
    if wanted := request.headers.get(HEADER):
        await reach(request.app[SESSION].state.store, _number(wanted))
    _note(request)
    response = await handler(request)
    if request.method not in _SAFE:
        _note(request)
    if REVISION in request and not response.prepared:
        response.headers[HEADER] = str(request[REVISION])
    return response


def _note(request: web.Request) -> None:
    """What the store has now: a reading that follows has it too, and so has it a change that was just made."""
    with suppress(StoreUnavailable):  # an answer that needs no store, or a change that is done
        request[REVISION] = request.app[SESSION].state.store.revision


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InvalidInput({HEADER: "must be a revision that an answer named"})
    return int(text)


async def reach(store: Store, revision: int) -> None:
    """Return when the session has heard of `revision`. Raises StoreUnavailable, in bounded time."""
    if store.revision < revision:
        await store.sync()
    if store.revision < revision:
        raise StoreUnavailable(reason=f"it is at revision {store.revision} and has not come to {revision}")
