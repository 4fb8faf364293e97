"""Reading and writing records: the one place that joins paths, versions and structs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from pvc.errors import Changed, Corrupt, NotFound
from pvc.model import names
from pvc.model.records import VM, Network, Node, NodeStatus, Observed, Task, Waiting, decode, encode
from pvc.store.base import Entry, Put, Store
from pvc.store.paths import Paths

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
class State:
    """Cluster state as one daemon reaches it. now: seconds since the epoch, UTC."""

    store: Store
    paths: Paths
    now: Callable[[], float] = time.time
    new_uuid: Callable[[], str] = lambda: str(uuid.uuid4())

    async def vm(self, uuid: str) -> Held[VM]:
        try:
            return _held(VM, await self.store.get(self.paths.vm(uuid)), uuid)
        except NotFound as exc:
            raise NotFound(kind="VM", name=uuid) from exc

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

    async def vms(self) -> list[Held[VM] | Unreadable]:
        return await self._all(VM, self.paths.vms)

    async def readable_vms(self) -> list[Held[VM]]:
        """Every VM. Raises Corrupt when one cannot be read: for decisions that must know them all."""
        found = []
        for item in await self.vms():
            if isinstance(item, Unreadable):
                raise Corrupt(kind="VM", name=item.key, reason=item.reason)
            found.append(item)
        return found

    async def network(self, vni: int) -> Held[Network]:
        try:
            return _held(Network, await self.store.get(self.paths.network(vni)), str(vni))
        except NotFound as exc:
            raise NotFound(kind="network", name=str(vni)) from exc

    async def networks(self) -> list[Held[Network] | Unreadable]:
        return await self._all(Network, self.paths.networks)

    async def nodes(self) -> list[Held[Node] | Unreadable]:
        return await self._all(Node, self.paths.nodes)

    async def node(self, name: str) -> Held[Node]:
        return _held(Node, await self.node_entry(name), name)

    async def node_entry(self, name: str) -> Entry:
        """The record as it is stored, readable or not. Raises NotFound."""
        if names.problem_with("node", name):
            raise NotFound(kind="node", name=name)
        try:
            return await self.store.get(self.paths.node(name))
        except NotFound as exc:
            raise NotFound(kind="node", name=name) from exc

    async def node_status(self, name: str) -> NodeStatus:
        """What the node last said of itself; empty before it ever did. It writes over what is damaged."""
        [entry] = await self.store.get_many([self.paths.node_status(name)])
        try:
            return decode(NodeStatus, entry.value, name) if entry and entry.value else NodeStatus()
        except Corrupt as exc:
            return NodeStatus(problem=str(exc))

    async def node_alive(self, name: str) -> bool:
        [entry] = await self.store.get_many([self.paths.node_alive(name)])
        return entry is not None

    async def node_waiting(self, name: str) -> Waiting | None:
        """An agent that bears the node's name and is not the node, or not yet."""
        [entry] = await self.store.get_many([self.paths.node_waiting(name)])
        try:
            return decode(Waiting, entry.value, name) if entry else None
        except Corrupt as exc:
            return Waiting(machine="", reason=str(exc))

    async def observed(self, vm: VM) -> Observed:
        return (await self.node_status(vm.node)).vms.get(vm.uuid, Observed())

    async def task(self, task_id: str) -> Held[Task]:
        if not task_id.isalnum():
            raise NotFound(kind="task", name=task_id)
        try:
            return _held(Task, await self.store.get(self.paths.task(task_id)), task_id)
        except NotFound as exc:
            raise NotFound(kind="task", name=task_id) from exc

    async def tasks(self) -> list[Held[Task] | Unreadable]:
        return await self._all(Task, self.paths.tasks)

    def put_vm(self, held: Held[VM], new: VM) -> Put:
        return Put(self.paths.vm(held.record.uuid), encode(new), held.version)

    async def write_vm(self, held: Held[VM], new: VM) -> None:
        """Raises Changed, in the user's words, when somebody else wrote since `held` was read."""
        try:
            await self.store.commit(self.put_vm(held, new))
        except (Changed, NotFound) as exc:
            raise Changed(kind="VM", name=held.record.name) from exc

    async def _all(self, kind: type[R], folder: str) -> list[Held[R] | Unreadable]:
        keys = await self.store.children(folder)
        entries = await self.store.get_many([f"{folder}/{key}" for key in keys])
        pairs = zip(keys, entries, strict=True)
        return [_held_or_problem(kind, entry, key) for key, entry in pairs if entry is not None]


def _held(kind: type[R], entry: Entry, name: str) -> Held[R]:
    return Held(decode(kind, entry.value, name), entry.version)


def _held_or_problem(kind: type[R], entry: Entry, key: str) -> Held[R] | Unreadable:
    try:
        return _held(kind, entry, key)
    except Corrupt as exc:
        return Unreadable(key, str(exc.fields["reason"]))
