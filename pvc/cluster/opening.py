"""Opening cluster state: one session, in the generation that is in force, for as long as it is."""

from __future__ import annotations

import time
import uuid

from pvc.cluster.state import State
from pvc.store.base import Source
from pvc.store.generation import open_generation
from pvc.store.inforce import InForce


async def open_state(source: Source) -> State:
    """Whoever opens it closes `state.store`. Raises StoreUnavailable, Corrupt for a newer schema."""
    store = await source.session()
    try:
        paths, cluster = await open_generation(store, str(uuid.uuid4()), time.time())
    except BaseException:
        await store.aclose()
        raise
    return State(InForce(store, cluster), paths)
