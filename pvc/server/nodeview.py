"""A node as the API shows it. Pure: what it and others say of it, and the VMs that it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pvc.cluster.placing import size, takes_memory
from pvc.model.noding import Signs
from pvc.model.observing import ALIVE
from pvc.model.records import VM, NodeStatus, Observed
from pvc.units import MIB

# pvc's API servers are all equal and hold no office, so no node is a coordinator.
COORDINATOR_STATE = "hypervisor"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. delta: what it takes from a health of 100; then `message` says what is wrong."""

    name: str
    message: str
    delta: int = 0
    data: dict[str, Any] | None = None


def node_object(signs: Signs, mine: Sequence[VM], unreadable: str = "") -> dict[str, Any]:
    """unreadable: why the node's record cannot be read."""
    node, status = signs.node, signs.status
    running = [vm for vm in mine if status.vms.get(vm.uuid, Observed()).power in ALIVE]
    found = list(checks(signs, unreadable))
    return {
        "name": node.name,
        "daemon_state": signs.daemon_state,
        "coordinator_state": COORDINATOR_STATE,
        "domain_state": str(node.domain_state),
        "pvc_version": node.pvc_version,
        "cpu_count": status.cpu_count,
        "kernel": status.kernel,
        "os": status.os,
        "arch": status.arch,
        "machine": node.machine,
        "domain_type": status.domain_type,
        "domain_type_reason": status.domain_type_reason,
        "libvirt_version": status.libvirt_version,
        "qemu_version": status.qemu_version,
        "health": max(0, 100 - sum(check.delta for check in found)),
        "health_plugins": [check.name for check in found],
        "health_details": [_detail(check, status) for check in found],
        "problem": " ".join(check.message for check in found if check.delta),
        "strays": list(status.strays),
        "load": round(status.load, 2),
        "domains_count": len(running),
        "running_domains": sorted(vm.name for vm in running),
        "vcpu": {"total": status.cpu_count, "allocated": sum(size(vm)[1] for vm in mine if takes_memory(vm, status))},
        "memory": _memory(status, mine),
    }


def checks(signs: Signs, unreadable: str) -> Iterator[Check]:
    """Everything that is looked at, fine or not. What is not known, because the agent is away, is not looked at."""
    if unreadable:
        yield Check("record", f"The record cannot be read: {unreadable}", 100)
    yield _agent(signs)
    if signs.rival:
        yield Check("name", signs.rival, 50)
    if signs.status.problem:
        yield Check("hypervisor", signs.status.problem, 100)
    elif signs.daemon_state == "run":
        yield from _hypervisor(signs.status)


def _agent(signs: Signs) -> Check:
    if signs.daemon_state == "run":
        return Check("agent", "Its agent runs.")
    return Check("agent", f"Its agent {_WORDS[signs.daemon_state]}; what else is shown is the last that it said.", 100)


_WORDS = {
    "init": "is starting",
    "shutdown": "is ending",
    "stop": "was ended in order",
    "dead": "does not answer, and did not end in order",
}


def _hypervisor(status: NodeStatus) -> Iterator[Check]:
    yield Check("hypervisor", f"libvirt {status.libvirt_version} answers.")
    load = {"load": round(status.load, 2), "cpus": status.cpu_count}
    yield Check("load", f"The load is {status.load:.2f} on {status.cpu_count} CPUs.", data=load)
    if status.strays:
        yield Check("strays", f"Domains run here that pvc does not know: {', '.join(status.strays)}.", 10)
    if status.use_problem:
        yield Check("statistics", status.use_problem, 10)
    if status.encrypted and status.no_live:
        yield Check("migration", f"No guest can come here live: the node {status.no_live}.", 10)


def _detail(check: Check, status: NodeStatus) -> dict[str, Any]:
    return {
        "name": check.name,
        "last_run": int(status.looked_at),
        "health_delta": check.delta,
        "message": check.message,
        "data": check.data or {},
    }


def _memory(status: NodeStatus, mine: Sequence[VM]) -> dict[str, int]:
    """MiB. allocated: of the VMs that run or are to run; provisioned: of all that live here."""
    return {
        "total": status.memory_total // MIB,
        "allocated": sum(size(vm)[0] for vm in mine if takes_memory(vm, status)),
        "provisioned": sum(size(vm)[0] for vm in mine),
        "used": (status.memory_total - status.memory_free) // MIB,
        "free": status.memory_free // MIB,
        "reserve": status.memory_reserve // MIB,
    }
