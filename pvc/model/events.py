"""Events: what became of one thing of the cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Fact = str | int | float | bool | None


class Kind(StrEnum):
    VM = "vm"
    NODE = "node"
    NETWORK = "network"
    TASK = "task"
    CLUSTER = "cluster"


class Change(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing as events tell of it. id: never another one's, as a VM's UUID. version: of its record, which may change
    in more than the facts.
    """

    kind: Kind
    id: str
    name: str
    version: int
    facts: Mapping[str, Fact]


def happened(before: Seen | None, now: Seen | None) -> dict[str, Any] | None:
    """The event between two looks at a thing; None when it is the same.

    changed: facts with what they were and are. now: all facts, the last ones of what was deleted.
    """
    if before == now:
        return None
    shown = now or before
    if shown is None:
        return None
    return {
        "kind": shown.kind,
        "name": shown.name,
        "id": shown.id,
        "change": _change(before, now),
        "changed": _differences(before, now) if before and now else {},
        "now": dict(shown.facts),
    }


def _change(before: Seen | None, now: Seen | None) -> Change:
    if before is None:
        return Change.CREATED
    return Change.DELETED if now is None else Change.CHANGED


def _differences(before: Seen, now: Seen) -> dict[str, list[Fact]]:
    was, is_ = {"name": before.name, **before.facts}, {"name": now.name, **now.facts}
    fields = dict.fromkeys((*was, *is_))
    return {field: [was.get(field), is_.get(field)] for field in fields if was.get(field) != is_.get(field)}
