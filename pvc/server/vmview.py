"""A VM as the API shows it. Pure: record, what its node last said, and the networks by bridge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import asdict

from pvc.cluster.state import Unreadable
from pvc.errors import InvalidXML
from pvc.model import domain
from pvc.model.records import VM, Desired, Network, NodeStatus, Observed, Power, Tag, Use
from pvc.model.states import api_state, is_over

_BRIDGE = re.compile(r"[vm]*br([0-9a-z]+)")


def vm_object(vm: VM, status: NodeStatus, networks: Mapping[str, Network], doubt: str) -> dict[str, Any]:
    """status: of the VM's node. doubt: why that may no longer be so, "" when it is."""
    observed, use = status.vms.get(vm.uuid, Observed()), status.use.get(vm.uuid, Use())
    shown = _head(vm, observed, doubt)
    try:
        described = domain.describe(vm.xml)
    except InvalidXML as exc:
        return {**shown, "state": "fail", "failed_reason": str(exc)}
    return {
        **shown,
        "description": described.description,
        "memory": described.memory,
        "memory_stats": told(use.memory),
        "vcpu": described.vcpu,
        "vcpu_topology": described.topology,
        "vcpu_stats": told(use.cpu),
        "networks": [nic_object(nic, networks) | told(use.nics.get(nic.mac)) for nic in described.nics],
        "type": described.type,
        "arch": described.arch,
        "machine": described.machine,
        "console": observed.console or described.console,
        "vnc": dict(zip(("listen", "port"), observed.vnc or (described.vnc_listen, described.vnc_port), strict=True)),
        "emulator": described.emulator,
        "features": list(described.features),
        "disks": [disk_object(disk) | told(use.disks.get(disk.dev)) for disk in described.disks],
        "controllers": [{"type": kind, "model": model} for kind, model in described.controllers],
        "xml": vm.xml,
    }


def told(use: msgspec.Struct | None) -> dict[str, int]:
    """Counters by name; one that the hypervisor does not tell is not there."""
    counters = {} if use is None else asdict(use)
    return {name: value for name, value in counters.items() if value is not None}


def _head(vm: VM, observed: Observed, doubt: str = "") -> dict[str, Any]:
    return {
        "name": vm.name,
        "uuid": vm.uuid,
        "state": api_state(vm, observed),
        "power": str(Power.UNKNOWN if doubt else observed.power),
        "doubt": doubt,
        "task": vm.task,
        "node": vm.node,
        "last_node": vm.last_node,
        "migrated": f"from {vm.last_node}" if vm.last_node else "no",
        "failed_reason": failed_reason(vm, observed),
        "node_limit": list(vm.node_limit) or None,
        "node_selector": str(vm.node_selector),
        "node_autostart": vm.node_autostart,
        "migration_method": str(vm.migration_method),
        "migration_max_downtime": vm.max_downtime_ms or None,
        "tags": [tag_object(tag) for tag in vm.tags],
        "profile": vm.profile,
        "free_slots": observed.free_slots,
    }


def failed_reason(vm: VM, observed: Observed) -> str:
    """Why a VM that should run does not, or is started again."""
    if vm.desired is not Desired.RUNNING:
        return ""
    if vm.moving is not None:
        lost = f'The guest is not on node "{vm.node}" any more; node "{vm.moving.target}" is asked whether it has it.'
        return lost if observed.power is Power.OFF else ""
    if is_over(vm, observed):
        return observed.failure or observed.ended
    if observed.put_off and observed.power is Power.OFF:
        return f"The start is put off and tried again. {observed.put_off}"
    if observed.crashes:
        times = "once" if observed.crashes == 1 else f"{observed.crashes} times in a row"
        return f"The guest crashed {times} and is started again."
    return ""


def tag_object(tag: Tag) -> dict[str, Any]:
    return {"name": tag.name, "type": tag.type, "protected": tag.protected}


def nic_object(nic: domain.Nic, networks: Mapping[str, Network]) -> dict[str, Any]:
    network = networks.get(nic.source)
    match = _BRIDGE.fullmatch(nic.source)
    vni = str(network.vni) if network else match[1] if match else ""
    return {"type": nic.type, "vni": vni, "mac": nic.mac, "source": nic.source, "model": nic.model}


def disk_object(disk: domain.Disk) -> dict[str, Any]:
    return {"type": disk.type, "name": disk.source, "dev": disk.dev, "bus": disk.bus, "device": disk.device}


def unreadable_object(item: Unreadable) -> dict[str, Any]:
    """Stands in every list where the VM would, with its problem."""
    vm = VM(uuid=item.key, name=item.key, xml="", node="")
    problem = f"The record cannot be read: {item.reason}"
    blank = {"networks": [], "disks": [], "controllers": [], "features": [], "memory": 0, "vcpu": 0, "xml": ""}
    return {**_head(vm, Observed()), **blank, "state": "fail", "failed_reason": problem}
