"""Ceph's own administration, as the server asks for it: its status, its pools, its OSDs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# What `flag` takes: Ceph's own words for what OSDs are told not to do.
FLAGS = frozenset(
    {
        *("noin", "noout", "noup", "nodown", "pause", "nobackfill", "norebalance", "norecover"),
        *("noscrub", "nodeep-scrub", "nosnaptrim", "notieragent"),
    }
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a new pool keeps its data. pgs: placement groups; copies: of each object, of which `min_copies` must be there
    for a write; tier: the class of devices ("hdd", "ssd", "nvme"), or "default" for any.
    """

    pgs: int
    copies: int
    min_copies: int
    tier: str = "default"


@dataclass(frozen=True, slots=True)
class OSDState:
    """up: its daemon answers; within: it gets data."""

    up: bool
    within: bool


@dataclass(frozen=True, slots=True)
class OSD:
    """device, db_device: "" where Ceph does not know. stats: by the names that the API has for them."""

    id: int
    node: str
    device: str
    db_device: str
    stats: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that Ceph finds wrong with itself. name, severity ("HEALTH_WARN", "HEALTH_ERR"): its own words."""

    name: str
    severity: str
    text: str


class Administration(Protocol):
    """Raises Unavailable when Ceph does not answer in time, NotPermitted without the caps, CephRefused."""

    async def health(self) -> list[Check]:
        """What Ceph finds wrong, without what somebody muted."""
        ...

    async def status(self) -> str:
        """Ceph's own text."""
        ...

    async def utilization(self) -> str:
        """Ceph's own text."""
        ...

    async def create_pool(self, name: str, layout: Layout) -> None:
        """For RBD, and with all of its settings from the first moment that pvc sees it. Raises AlreadyExists."""
        ...

    async def set_pgs(self, pool: str, pgs: int) -> None: ...

    async def remove_pool(self, pool: str) -> None:
        """With everything in it, whoever uses it."""
        ...

    async def osds(self) -> list[OSD]:
        """By id."""
        ...

    async def osd_states(self) -> dict[int, OSDState]:
        """By id. Cheaper than `osds`."""
        ...

    async def mark(self, osd: int, *, within: bool) -> None:
        """In: it gets data; out: its data moves elsewhere. Raises NotFound."""
        ...

    async def flag(self, name: str, *, on: bool) -> None:
        """name: one of FLAGS."""
        ...

    async def aclose(self) -> None: ...
