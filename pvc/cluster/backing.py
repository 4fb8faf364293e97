"""Reading the configuration as a whole: of the generation in force at one moment, or of one that is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pvc.cluster.state import MirrorView, State
from pvc.errors import Conflict, Corrupt
from pvc.model import backup
from pvc.model.backup import Taken, Unread, bare
from pvc.model.content import Content
from pvc.model.records import VM, Network, Node, decode
from pvc.storage.base import Pool
from pvc.store.base import Reader
from pvc.store.inforce import InForce
from pvc.store.paths import Paths


@dataclass(frozen=True, slots=True)
class Ground:
    """What recovery works with. view: of the same session as `state`, and kept up to date."""

    state: State
    view: MirrorView
    pools: Mapping[str, Pool]

    @property
    def store(self) -> InForce:
        store = self.state.store
        if not isinstance(store, InForce):
            raise Conflict(kind="store", name="pvc", problem="was not opened in the generation that is in force")
        return store

    async def caught_up(self) -> None:
        """From here on the view has everything that anybody was told of before."""
        await self.store.sync()
        await self.view.reader.settled()


@dataclass(frozen=True, slots=True)
class Raw:
    """A record as it is stored."""

    kind: str
    key: str
    value: bytes


async def take(ground: Ground) -> bytes:
    """A backup of one moment: while its records are collected from memory, changes wait. Raises Busy."""
    async with ground.store.standing_still(f'backup "{ground.state.new_uuid()}"') as still:
        await ground.caught_up()
        taken = Taken(
            at=datetime.fromtimestamp(ground.state.now(), UTC).isoformat(timespec="seconds"),
            revision=ground.store.revision,
            generation=still.cluster.generation,
        )
        found = await raw(ground.view.reader, ground.state.paths)
    return await asyncio.to_thread(_written, found, still.cluster.id, taken)


def _written(found: list[Raw], cluster: str, taken: Taken) -> bytes:
    content, unread = readable(found)
    return backup.document(content, cluster, taken, unread)


async def raw(reader: Reader, paths: Paths) -> list[Raw]:
    found = []
    for kind, folder in (("network", paths.networks), ("node", paths.nodes), ("vm", paths.vms)):
        keys = await reader.children(folder)
        entries = await reader.get_many([f"{folder}/{key}" for key in keys])
        found += [Raw(kind, key, entry.value) for key, entry in zip(keys, entries, strict=True) if entry is not None]
    return found


def readable(found: list[Raw]) -> tuple[Content, tuple[Unread, ...]]:
    """What can be read as configuration, and what cannot be read."""
    networks: list[Network] = []
    nodes: list[Node] = []
    vms: list[VM] = []
    unread = []
    for one in found:
        try:
            if one.kind == "network":
                networks.append(decode(Network, one.value, one.key))
            elif one.kind == "node":
                nodes.append(bare(decode(Node, one.value, one.key)))
            else:
                vms.append(bare(decode(VM, one.value, one.key)))
        except Corrupt as exc:
            text = one.value.decode(errors="replace")
            unread.append(Unread(kind=one.kind, name=one.key, problem=str(exc.fields["reason"]), value=text))
    return Content.ordered(networks, nodes, vms), tuple(unread)
