"""The key by which agents know the cluster's own servers: made once, beside the generations and so in no backup."""

from __future__ import annotations

import secrets
from contextlib import suppress

from pvc.errors import AlreadyExists, NotFound
from pvc.store.base import Create, Store
from pvc.store.paths import PEER_KEY


async def key_of(store: Store) -> str:
    """For whoever may read the store. Raises StoreUnavailable."""
    try:
        kept = await store.get(PEER_KEY)
    except NotFound:
        with suppress(AlreadyExists):
            await store.commit(Create(PEER_KEY, secrets.token_urlsafe(32).encode()))
        kept = await store.get(PEER_KEY)
    return kept.value.decode()
