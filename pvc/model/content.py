"""What a backup is about: every record that is configuration; what is wrong with it, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from uuid import UUID

import msgspec

from pvc.errors import InvalidXML
from pvc.model import domain, names
from pvc.model.records import OVA, VM, Network, Node

Record = VM | Network | Node | OVA


@dataclass(frozen=True, slots=True)
class Content:
    """Networks by VNI, nodes and OVAs by name, VMs by name and UUID."""

    networks: tuple[Network, ...] = ()
    nodes: tuple[Node, ...] = ()
    vms: tuple[VM, ...] = ()
    ovas: tuple[OVA, ...] = ()

    @classmethod
    def ordered(
        cls, networks: Iterable[Network], nodes: Iterable[Node], vms: Iterable[VM], ovas: Iterable[OVA] = ()
    ) -> Self:
        return cls(
            tuple(sorted(networks, key=lambda network: network.vni)),
            tuple(sorted(nodes, key=lambda node: node.name)),
            tuple(sorted(vms, key=lambda vm: (vm.name, vm.uuid))),
            tuple(sorted(ovas, key=lambda ova: ova.name)),
        )

    @property
    def by_key(self) -> dict[tuple[str, str], tuple[str, Record]]:
        """Name and record by kind and key."""
        found: dict[tuple[str, str], tuple[str, Record]] = {}
        found |= {("network", str(network.vni)): (str(network.vni), network) for network in self.networks}
        found |= {("node", node.name): (node.name, node) for node in self.nodes}
        found |= {("ova", ova.name): (ova.name, ova) for ova in self.ovas}
        return found | {("vm", vm.uuid): (vm.name, vm) for vm in self.vms}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """fields: those that differ, of a record that is there before and afterwards."""

    kind: str
    name: str
    key: str
    fields: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    creates: tuple[Difference, ...] = ()
    changes: tuple[Difference, ...] = ()
    deletes: tuple[Difference, ...] = ()


def plan(now: Content, then: Content) -> Plan:
    """What makes `then` of `now`."""
    before, after = now.by_key, then.by_key
    changed = [
        Difference(kind=key[0], key=key[1], name=name, fields=fields)
        for key, (name, record) in after.items()
        if key in before and (fields := _fields(before[key][1], record))
    ]
    return Plan(
        creates=tuple(_of(after, [key for key in after if key not in before])),
        changes=tuple(changed),
        deletes=tuple(_of(before, [key for key in before if key not in after])),
    )


def _of(records: Mapping[tuple[str, str], tuple[str, object]], keys: list[tuple[str, str]]) -> Iterator[Difference]:
    for kind, key in keys:
        yield Difference(kind=kind, key=key, name=records[kind, key][0])


def _fields(one: msgspec.Struct, other: msgspec.Struct) -> tuple[str, ...]:
    if one == other:
        return ()
    return tuple(name for name in one.__struct_fields__ if getattr(one, name) != getattr(other, name))


def problems(content: Content) -> list[str]:
    """Why `content` cannot be a cluster's configuration, a phrase each."""
    found = [*_named(content), *_twice(content)]
    nodes = {node.name for node in content.nodes}
    found += [f'OVA "{ova.name}" is not whole' for ova in content.ovas if not ova.whole]
    for vm in content.vms:
        found += _of_vm(vm, nodes)
    return found


def _named(content: Content) -> Iterator[str]:
    every = [("network", network.description) for network in content.networks]
    every += [("node", node.name) for node in content.nodes]
    every += [("VM", vm.name) for vm in content.vms]
    every += [("OVA", ova.name) for ova in content.ovas]
    for kind, name in every:
        if problem := names.problem_with(kind, name):
            yield f'the name "{name}" of a {kind} {problem}'
    for network in content.networks:
        if not 1 <= network.vni <= 16_777_215:
            yield f'the VNI "{network.vni}" is not 1 to 16777215'


def _twice(content: Content) -> Iterator[str]:
    every = {
        "VNI": [str(network.vni) for network in content.networks],
        "network": [network.description for network in content.networks],
        "node": [node.name for node in content.nodes],
        "VM": [vm.name for vm in content.vms],
        "OVA": [ova.name for ova in content.ovas],
        "UUID": [vm.uuid for vm in content.vms],
    }
    for kind, values in every.items():
        seen: set[str] = set()
        for value in values:
            if value in seen:
                yield f'the {kind} "{value}" is there twice'
            seen.add(value)


def _of_vm(vm: VM, nodes: set[str]) -> Iterator[str]:
    if not _is_uuid(vm.uuid):
        yield f'VM "{vm.name}" has the UUID "{vm.uuid}", which is none'
    if vm.node not in nodes:
        yield f'VM "{vm.name}" belongs to node "{vm.node}", which the backup does not have'
    try:
        described = domain.describe(vm.xml)
    except InvalidXML as exc:
        yield f'the XML of VM "{vm.name}" cannot be read: {exc.fields["reason"]}'
        return
    if (described.name, described.uuid) != (vm.name, vm.uuid):
        yield f'the XML of VM "{vm.name}" has the name "{described.name}" and the UUID "{described.uuid}"'


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
