"""Reading the configuration as a whole: of the generation in force at one moment, or of one that is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from pvc.cluster import sealing, tokens
from pvc.cluster.state import MirrorView, State, Unreadable
from pvc.errors import Conflict, Corrupt, NotFound
from pvc.model import backup
from pvc.model.backup import Taken, Unread, bare
from pvc.model.content import Content
from pvc.model.locked import Secrets
from pvc.model.records import OVA, VM, Network, Node, Token, decode
from pvc.storage.base import Pool
from pvc.store.base import Reader, Store
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


async def take(ground: Ground, passphrase: str = "") -> bytes:
    """A backup of one moment: while its records are collected from memory, changes wait. Raises Busy.

    passphrase: what secrets are locked by; without one they are left out.
    """
    async with ground.store.standing_still(f'backup "{ground.state.new_uuid()}"') as still:
        await ground.caught_up()
        taken = Taken(
            at=datetime.fromtimestamp(ground.state.now(), UTC).isoformat(timespec="seconds"),
            revision=ground.store.revision,
            generation=still.cluster.generation,
        )
        found = await present(ground)
        secret = await tokens.every(ground.store) if passphrase else []
    return await asyncio.to_thread(_written, found, secret, still.cluster.id, taken, passphrase)


def _written(found: list[Raw], secret: list[Token | Unreadable], cluster: str, taken: Taken, passphrase: str) -> bytes:
    content, unread = readable(found)
    if not passphrase:
        return backup.document(content, cluster, taken, unread)
    secrets = Secrets(tokens=tuple(one for one in secret if isinstance(one, Token)))
    lost = [one for one in secret if isinstance(one, Unreadable)]
    unread += tuple(Unread(kind="token", name=one.key, problem=one.reason, value="") for one in lost)
    return backup.document(content, cluster, taken, unread, partial(sealing.seal, secrets, passphrase))


async def present(ground: Ground) -> list[Raw]:
    """Of the generation in force: from memory, but for what the view does not have."""
    paths = ground.state.paths
    return [*await _raw(ground.view.reader, _viewed(paths)), *await _raw(ground.store, {"ova": paths.ovas})]


async def of_generation(store: Store, paths: Paths) -> list[Raw]:
    return await _raw(store, folders(paths))


def folders(paths: Paths) -> dict[str, str]:
    """What a backup has, by the kind of record."""
    return {**_viewed(paths), "ova": paths.ovas}


def _viewed(paths: Paths) -> dict[str, str]:
    return {"network": paths.networks, "node": paths.nodes, "vm": paths.vms}


async def _raw(reader: Reader, folders: Mapping[str, str]) -> list[Raw]:
    """A folder that is not there is of a pvc that did not have it."""
    found = []
    for kind, folder in folders.items():
        with suppress(NotFound):
            keys = await reader.children(folder)
            entries = await reader.get_many([f"{folder}/{key}" for key in keys])
            pairs = zip(keys, entries, strict=True)
            found += [Raw(kind, key, entry.value) for key, entry in pairs if entry is not None]
    return found


def readable(found: list[Raw]) -> tuple[Content, tuple[Unread, ...]]:
    """What can be read as configuration, and what cannot be read. An OVA that is not whole is none."""
    networks: list[Network] = []
    nodes: list[Node] = []
    vms: list[VM] = []
    ovas: list[OVA] = []
    unread = []
    for one in found:
        try:
            match one.kind:
                case "network":
                    networks.append(decode(Network, one.value, one.key))
                case "node":
                    nodes.append(bare(decode(Node, one.value, one.key)))
                case "vm":
                    vms.append(bare(decode(VM, one.value, one.key)))
                case _:
                    ovas.append(decode(OVA, one.value, one.key))
        except Corrupt as exc:
            text = one.value.decode(errors="replace")
            unread.append(Unread(kind=one.kind, name=one.key, problem=str(exc.fields["reason"]), value=text))
    return Content.ordered(networks, nodes, vms, [ova for ova in ovas if ova.whole]), tuple(unread)
