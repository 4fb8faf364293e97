"""From rounds of the mirror to events: what is known of each thing, and what a round changes in that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from pvc.errors import Corrupt
from pvc.model.events import Fact, Kind, Seen, happened
from pvc.model.noding import Signs, doubt
from pvc.model.records import VM, Maintenance, Network, Node, NodeStatus, Observed, Power, Task, Waiting, decode
from pvc.model.states import api_state
from pvc.server.vmview import failed_reason
from pvc.store.base import Entry
from pvc.store.mirror import Round
from pvc.store.paths import MAINTENANCE, Paths

R = TypeVar("R", bound=msgspec.Struct)
Key = tuple[Kind, str]


class News:
    """Of one generation. VMs are kept without their XML, nodes' words without what guests use."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._seen: dict[Key, Seen] = {}
        self._vms: dict[str, VM] = {}
        self._statuses: dict[str, NodeStatus] = {}
        self._entries: Mapping[str, Entry] = {}

    def take(self, round_: Round) -> list[dict[str, Any]]:
        """What a round changes; at the first one everything is new."""
        self._entries = round_.entries
        due: set[Key] = set()
        for path in round_.paths:
            due.update(self._due(path))
        found = []
        for key in sorted(due):
            before, now = self._seen.get(key), self._look(key)
            event = happened(before, now)
            if event is not None:
                found.append(event)
            if now is None:
                self._seen.pop(key, None)
            else:
                self._seen[key] = now
        return found

    def gone(self, entries: Mapping[str, Entry]) -> set[str]:
        """Paths of things that were there, and are not among `entries`: deleted while nobody looked."""
        return {path for path in map(self._path, self._seen) if path not in entries}

    def _path(self, key: Key) -> str:
        kind, name = key
        folders = {Kind.VM: self._paths.vms, Kind.NODE: self._paths.nodes, Kind.NETWORK: self._paths.networks}
        folders |= {Kind.TASK: self._paths.tasks}
        return f"{folders[kind]}/{name}" if kind in folders else MAINTENANCE

    def _due(self, path: str) -> Iterator[Key]:
        """What is to be looked at again when the entry at `path` is another one."""
        if path == MAINTENANCE:
            yield Kind.CLUSTER, ""
            return
        folder, _, rest = path.removeprefix(f"{self._paths.root}/").partition("/")
        match folder:
            case "vms":
                self._keep_vm(rest)
                yield Kind.VM, rest
            case "networks":
                yield Kind.NETWORK, rest
            case "tasks":
                yield Kind.TASK, rest
            case "nodes":
                node, _, part = rest.partition("/")
                yield Kind.NODE, node
                yield from self._moved(node, part)

    def _keep_vm(self, uuid: str) -> None:
        vm = self._read(VM, self._paths.vm(uuid))
        if vm is None:
            self._vms.pop(uuid, None)
        else:
            self._vms[uuid] = replace(vm, xml="")

    def _moved(self, node: str, part: str) -> Iterator[Key]:
        """The VMs of a node that are to be looked at again."""
        before = self._statuses.get(node, NodeStatus())
        if part == "status" or self._paths.node(node) not in self._entries:
            self._keep_status(node)
        now = self._statuses.get(node, NodeStatus())
        if part == "alive" or before.problem != now.problem:
            yield from ((Kind.VM, uuid) for uuid, vm in self._vms.items() if vm.node == node)
        for uuid in before.vms.keys() | now.vms.keys():
            if before.vms.get(uuid) != now.vms.get(uuid):
                yield Kind.VM, uuid

    def _keep_status(self, node: str) -> None:
        path = self._paths.node_status(node)
        if path not in self._entries:
            self._statuses.pop(node, None)
            return
        status = self._read(NodeStatus, path) if self._entries[path].value else NodeStatus()
        unreadable = NodeStatus(problem="What it said cannot be read.")
        self._statuses[node] = unreadable if status is None else replace(status, use={})

    def _look(self, key: Key) -> Seen | None:
        kind, name = key
        entry = self._entries.get(self._path(key))
        if entry is None:
            return None
        look: dict[Kind, Callable[[str], tuple[str, dict[str, Fact]] | None]] = {
            Kind.VM: self._vm,
            Kind.NODE: self._node,
            Kind.NETWORK: self._network,
            Kind.TASK: self._task,
            Kind.CLUSTER: self._cluster,
        }
        shown, facts = look[kind](name) or (name, {"problem": "The record cannot be read."})
        return Seen(kind, name, shown, entry.version, facts)

    def _vm(self, uuid: str) -> tuple[str, dict[str, Fact]] | None:
        vm = self._vms.get(uuid)
        if vm is None:
            return None
        status = self._statuses.get(vm.node, NodeStatus())
        observed = status.vms.get(uuid, Observed())
        why = doubt(vm.node, status, alive=self._paths.node_alive(vm.node) in self._entries)
        return vm.name, {
            "state": api_state(vm, observed),
            "power": str(Power.UNKNOWN if why else observed.power),
            "node": vm.node,
            "task": vm.task,
            "failed_reason": failed_reason(vm, observed),
            "doubt": why,
        }

    def _node(self, name: str) -> tuple[str, dict[str, Fact]] | None:
        node = self._read(Node, self._paths.node(name))
        if node is None:
            return None
        signs = Signs(
            node=node,
            alive=self._paths.node_alive(name) in self._entries,
            waiting=self._read(Waiting, self._paths.node_waiting(name)),
            status=self._statuses.get(name, NodeStatus()),
        )
        return name, {
            "daemon_state": signs.daemon_state,
            "domain_state": str(node.domain_state),
            "problem": signs.status.problem,
            "pvc_version": node.pvc_version,
        }

    def _network(self, vni: str) -> tuple[str, dict[str, Fact]] | None:
        network = self._read(Network, f"{self._paths.networks}/{vni}")
        if network is None:
            return None
        facts: dict[str, Fact] = {"type": network.nettype, "bridge": network.bridge, "mtu": network.mtu}
        return network.description, facts

    def _task(self, task_id: str) -> tuple[str, dict[str, Fact]] | None:
        task = self._read(Task, self._paths.task(task_id))
        if task is None:
            return None
        return task.name, {
            "task": task.kind,
            "target": "/".join(task.target),
            "who": task.who,
            "node": task.node,
            "status": str(task.status),
            "phase": task.phase,
            "done": task.done,
            "total": task.total,
            "result": task.result or task.problem.get("message", ""),
        }

    def _cluster(self, _name: str) -> tuple[str, dict[str, Fact]] | None:
        record = self._read(Maintenance, MAINTENANCE)
        return "maintenance", {"maintenance": True, "by": record.who if record else ""}

    def _read(self, kind: type[R], path: str) -> R | None:
        """None where there is nothing, or nothing that can be read."""
        entry = self._entries.get(path)
        try:
            return None if entry is None else decode(kind, entry.value, path)
        except Corrupt:
            return None
