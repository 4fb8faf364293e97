"""Reading and writing records: the one place that joins paths, versions and structs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from pvc.errors import Changed, Corrupt, NotFound
from pvc.model import names
from pvc.model.noding import doubt
from pvc.model.records import OVA, VM, Network, Node, NodeStatus, Observed, Task, Waiting, decode, encode
from pvc.store.base import Entry, Put, Reader, Store
from pvc.store.mirror import Mirror
from pvc.store.paths import Paths
from pvc.store.prefetched import Prefetched

R = TypeVar("R", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Held(Generic[R]):
    """A record and the version it was read at, which goes back with every write."""

    record: R
    version: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is there and cannot be read: shown as such, never dropped."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """Cluster state as it is read: from the store itself where a decision follows, or from a mirror of it."""

    reader: Reader
    paths: Paths

    async def vm(self, uuid: str) -> Held[VM]:
        return await self._get(VM, self.paths.vm(uuid), "VM", uuid)

    async def vms(self) -> list[Held[VM] | Unreadable]:
        return await self._all(VM, self.paths.vms)

    async def network(self, vni: int) -> Held[Network]:
        return await self._get(Network, self.paths.network(vni), "network", str(vni))

    async def networks(self) -> list[Held[Network] | Unreadable]:
        return await self._all(Network, self.paths.networks)

    async def ova(self, name: str) -> Held[OVA]:
        if names.problem_with("OVA", name):
            raise NotFound(kind="OVA", name=name)
        return await self._get(OVA, self.paths.ova(name), "OVA", name)

    async def ovas(self) -> list[Held[OVA] | Unreadable]:
        return await self._all(OVA, self.paths.ovas)

    async def task(self, task_id: str) -> Held[Task]:
        if not task_id.isalnum():
            raise NotFound(kind="task", name=task_id)
        return await self._get(Task, self.paths.task(task_id), "task", task_id)

    async def nodes(self) -> list[Held[Node] | Unreadable]:
        return await self._all(Node, self.paths.nodes)

    async def tasks(self) -> list[Held[Task] | Unreadable]:
        return await self._all(Task, self.paths.tasks)

    async def node(self, name: str) -> Held[Node]:
        return _held(Node, await self.node_entry(name), name)

    async def node_entry(self, name: str) -> Entry:
        """The record as it is stored, readable or not. Raises NotFound."""
        if names.problem_with("node", name):
            raise NotFound(kind="node", name=name)
        try:
            return await self.reader.get(self.paths.node(name))
        except NotFound as exc:
            raise NotFound(kind="node", name=name) from exc

    async def node_status(self, name: str) -> NodeStatus:
        """What the node last said of itself; empty before it ever did. It writes over what is damaged."""
        [entry] = await self.reader.get_many([self.paths.node_status(name)])
        try:
            return decode(NodeStatus, entry.value, name) if entry and entry.value else NodeStatus()
        except Corrupt as exc:
            return NodeStatus(problem=str(exc))

    async def node_alive(self, name: str) -> bool:
        [entry] = await self.reader.get_many([self.paths.node_alive(name)])
        return entry is not None

    async def node_waiting(self, name: str) -> Waiting | None:
        """An agent that bears the node's name and is not the node, or not yet."""
        [entry] = await self.reader.get_many([self.paths.node_waiting(name)])
        try:
            return decode(Waiting, entry.value, name) if entry else None
        except Corrupt as exc:
            return Waiting(machine="", reason=str(exc))

    async def node_doubt(self, name: str) -> str:
        """Why what the node said of its VMs may no longer be so; "" when it is."""
        alive = await self.node_alive(name)
        return doubt(name, await self.node_status(name), alive=alive)

    async def observed(self, vm: VM) -> Observed:
        return (await self.node_status(vm.node)).vms.get(vm.uuid, Observed())

    async def _get(self, kind: type[R], path: str, noun: str, name: str) -> Held[R]:
        try:
            return _held(kind, await self.reader.get(path), name)
        except NotFound as exc:
            raise NotFound(kind=noun, name=name) from exc

    async def _all(self, kind: type[R], folder: str) -> list[Held[R] | Unreadable]:
        return [_held_or_problem(kind, entry, key) for key, entry in await self._entries(folder)]

    async def _entries(self, folder: str) -> list[tuple[str, Entry]]:
        keys = await self.reader.children(folder)
        entries = await self.reader.get_many([f"{folder}/{key}" for key in keys])
        return [(key, entry) for key, entry in zip(keys, entries, strict=True) if entry is not None]


@dataclass(frozen=True, slots=True)
class MemoryView(View):
    """Of entries in memory. What a node says of itself is decoded once, large as it may be."""

    _statuses: dict[str, tuple[Entry | None, NodeStatus]] = field(default_factory=dict)

    async def node_status(self, name: str) -> NodeStatus:
        [entry] = await self.reader.get_many([self.paths.node_status(name)])
        kept = self._statuses.get(name)
        if kept is None or kept[0] is not entry:
            kept = self._statuses[name] = entry, await View.node_status(self, name)
        return kept[1]


@dataclass(frozen=True, slots=True)
class MirrorView(MemoryView):
    """What was made of an entry is kept for as long as the mirror has that entry."""

    reader: Mirror
    _made: dict[str, tuple[int, dict[str, tuple[Entry, Any]]]] = field(default_factory=dict)

    async def _all(self, kind: type[R], folder: str) -> list[Held[R] | Unreadable]:
        rounds = self.reader.rounds
        made_at, before = self._made.get(folder, (-1, {}))
        if made_at != rounds:
            now = {}
            for key, entry in await self._entries(folder):
                kept = before.get(key)
                now[key] = kept if kept and kept[0] is entry else (entry, _held_or_problem(kind, entry, key))
            self._made[folder] = rounds, now
        return [item for _entry, item in self._made[folder][1].values()]


@dataclass(frozen=True, slots=True)
class State(View):
    """Cluster state as one daemon reads it for its decisions, and writes it. now: seconds since the epoch, UTC."""

    reader: Store
    now: Callable[[], float] = time.time
    new_uuid: Callable[[], str] = lambda: str(uuid.uuid4())

    @property
    def store(self) -> Store:
        return self.reader

    async def find_vm(self, name: str) -> Held[VM]:
        """By name or by UUID, with or without dashes. Raises NotFound, Corrupt."""
        if names.UUID.fullmatch(name):
            return await self.vm(str(uuid.UUID(name)))
        if names.problem_with("VM", name):
            raise NotFound(kind="VM", name=name)
        try:
            index = await self.store.get(self.paths.vm_name(name))
        except NotFound as exc:
            raise NotFound(kind="VM", name=name) from exc
        return await self.vm(index.value.decode())

    async def readable_vms(self) -> list[Held[VM]]:
        """Every VM. Raises Corrupt when one cannot be read: for decisions that must know them all."""
        found = []
        for item in await self.vms():
            if isinstance(item, Unreadable):
                raise Corrupt(kind="VM", name=item.key, reason=item.reason)
            found.append(item)
        return found

    async def prefetch(self, *paths: str) -> MemoryView:
        """A view of what stands at these paths, read in one go and in this order. It knows of nothing else."""
        return await self._prefetched(paths, {})

    async def prefetch_nodes(self, only: Collection[str] | None = None) -> MemoryView:
        """A view of all nodes, or of these as if there were no others, with what they say of themselves."""
        names = await self.store.children(self.paths.nodes) if only is None else only
        of_one = (self.paths.node, self.paths.node_waiting, self.paths.node_alive, self.paths.node_status)  # see Signs
        paths = [path(name) for name in names for path in of_one]
        return await self._prefetched(paths, {self.paths.nodes: names})

    async def _prefetched(self, paths: Sequence[str], folders: Mapping[str, Collection[str]]) -> MemoryView:
        entries = dict(zip(paths, await self.store.get_many(paths), strict=True))
        return MemoryView(Prefetched(entries, folders), self.paths)

    def put_vm(self, held: Held[VM], new: VM) -> Put:
        return Put(self.paths.vm(held.record.uuid), encode(new), held.version)

    async def write_vm(self, held: Held[VM], new: VM) -> None:
        """Raises Changed, in the user's words, when somebody else wrote since `held` was read."""
        try:
            await self.store.commit(self.put_vm(held, new))
        except (Changed, NotFound) as exc:
            raise Changed(kind="VM", name=held.record.name) from exc


@dataclass(frozen=True, slots=True)
class Attentive(State):
    """Lists come from memory where a mirror of the same session has them; single records are read from the store.

    A list has all that the session has heard of, as one read from the store would: what was changed before a lock of
    the store was taken is in a list that was asked for after that.
    """

    mirror: MirrorView = field(kw_only=True)

    async def _all(self, kind: type[R], folder: str) -> list[Held[R] | Unreadable]:
        if folder not in self.mirror.reader.folders:
            return await View._all(self, kind, folder)
        await self.mirror.reader.settled()
        return await self.mirror._all(kind, folder)


def _held(kind: type[R], entry: Entry, name: str) -> Held[R]:
    return Held(decode(kind, entry.value, name), entry.version)


def _held_or_problem(kind: type[R], entry: Entry, key: str) -> Held[R] | Unreadable:
    try:
        return _held(kind, entry, key)
    except Corrupt as exc:
        return Unreadable(key, str(exc.fields["reason"]))
