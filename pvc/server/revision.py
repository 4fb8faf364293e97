"""Revisions: an answer names one that it has at least; a request that names one is answered no older than that.

So a change made through one server is seen through another at once, whatever stands between client and servers.
"""

from __future__ import annotations

import re
from contextlib import suppress

from aiohttp import web

from pvc.errors import InvalidInput, StoreUnavailable
from pvc.server.errors import Handler
from pvc.server.parts import WHO
from pvc.server.session import REVISION, SESSION
from pvc.store.base import Store

HEADER = "X-PVC-Revision"

_NUMBER = re.compile("[0-9]{1,18}")
_SAFE = frozenset(("GET", "HEAD"))


@web.middleware
async def name_revision(request: web.Request, handler: Handler) -> web.StreamResponse:
    if WHO not in request:  # a stranger's business with the store ends here
        return await handler(request)
    session = request.app[SESSION]
    if wanted := request.headers.get(HEADER):
        await reach(session.state.store, _number(wanted))
    store = session.store
    before = _revision(store)
    response = await handler(request)
    has = request.get(REVISION, before) if request.method in _SAFE else _revision(store)
    if has is not None and not response.prepared:
        response.headers[HEADER] = str(has)
    return response


def _revision(store: Store | None) -> int | None:
    """None where none can be named: of a session that is over, a later one may have come less far."""
    with suppress(StoreUnavailable):
        return store.revision if store is not None else None
    return None


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
