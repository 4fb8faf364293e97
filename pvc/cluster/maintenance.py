"""Maintenance of the cluster: people work on it, and what looks like a fault is no alarm.

The record is beside the generations: restoring a backup neither silences an alarm nor wakes anybody.
"""

from __future__ import annotations

from pvc.cluster.state import State, View
from pvc.errors import AlreadyExists, Changed, Corrupt, NotFound
from pvc.model.records import Maintenance, decode, encode
from pvc.store.base import Create, Delete
from pvc.store.paths import MAINTENANCE, SETTINGS


async def present(state: View) -> Maintenance | None:
    """None when the cluster is not in maintenance. A record that cannot be read is one."""
    [entry] = await state.reader.get_many([MAINTENANCE])
    try:
        return None if entry is None else decode(Maintenance, entry.value, MAINTENANCE)
    except Corrupt:
        return Maintenance(who="", since=0.0)


async def begin(state: State, who: str) -> bool:
    """Whether it was us; False when it had begun before."""
    await state.store.ensure(SETTINGS)
    try:
        await state.store.commit(Create(MAINTENANCE, encode(Maintenance(who=who, since=state.now()))))
    except AlreadyExists:
        return False
    return True


async def end(state: State) -> bool:
    """Whether it was us; False when there was none."""
    try:
        entry = await state.store.get(MAINTENANCE)
        await state.store.commit(Delete(MAINTENANCE, entry.version))
    except (NotFound, Changed):
        return False
    return True
