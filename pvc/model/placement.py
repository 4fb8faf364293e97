"""Which node a VM goes to: decided from what nodes say and what was promised. New VMs and migrations both ask here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pvc.model.records import DomainState, Selector
from pvc.units import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One node. Memory in bytes. allocated, vcpus: of VMs that run or are to run; provisioned: of all that it has.

    problem: why nothing is known of its hypervisor. no_live: why no guest can come to it live; encrypted: those that do
    come so.
    """

    name: str
    daemon_state: str = "run"
    domain_state: str = DomainState.READY
    problem: str = ""
    memory_total: int = 0
    memory_free: int = 0
    memory_reserve: int = 0
    allocated: int = 0
    provisioned: int = 0
    vcpus: int = 0
    cpu_count: int = 0
    load: float = 0.0
    vms: int = 0
    no_live: str = ""
    encrypted: bool = False

    @property
    def room(self) -> int:
        """Memory that another guest can have: what runs may not have touched all that it was given."""
        return min(self.memory_free, self.memory_total - self.allocated) - self.memory_reserve


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """memory: bytes. node_limit: () for any node. live: it comes running, from a node that can send nothing encrypted
    where `no_encryption` says why.
    """

    memory: int
    vcpus: int
    node_limit: Sequence[str] = ()
    live: bool = False
    no_encryption: str = ""


# The lowest wins.
_SCORE: dict[Selector, Callable[[Candidate], float]] = {
    Selector.MEM: lambda node: -node.room,
    Selector.MEMPROV: lambda node: node.provisioned - node.memory_total,
    Selector.VCPUS: lambda node: node.vcpus,
    Selector.LOAD: lambda node: node.load,
    Selector.VMS: lambda node: node.vms,
}


def choose(candidates: Sequence[Candidate], wanted: Wanted, selector: Selector, default: Selector) -> str | None:
    """The node's name, None when none will do. Of equals the one that promised least, then the first by name."""
    fitting = [node for node in candidates if not refusal(node, wanted)]
    if not fitting:
        return None
    score = _SCORE[default if selector is Selector.NONE else selector]
    return min(fitting, key=lambda node: (score(node), node.provisioned, node.name)).name


def refusal(node: Candidate, wanted: Wanted) -> str:
    """Why the VM cannot go there, "" when it can."""
    if wanted.node_limit and node.name not in wanted.node_limit:
        return "is not among the nodes that the VM may run on"
    if node.daemon_state != "run":
        return _NOT_RUNNING.get(node.daemon_state, "is dead")
    if node.problem:
        return f"has a problem: {node.problem.removesuffix('.')}"
    if node.domain_state != DomainState.READY:
        return f"is not ready but {node.domain_state}"
    if wanted.memory > node.room:
        return f"needs {-(-wanted.memory // MIB)} MiB, {max(node.room, 0) // MIB} MiB free"
    if wanted.vcpus > node.cpu_count:
        return f"needs {wanted.vcpus} CPUs, has {node.cpu_count}"
    return _unreachable(node, wanted) if wanted.live else ""


def _unreachable(node: Candidate, wanted: Wanted) -> str:
    if node.encrypted and wanted.no_encryption and not node.no_live:
        return f"takes guests encrypted alone, and the VM's own node {wanted.no_encryption}"
    return node.no_live


_NOT_RUNNING = {"init": "is starting", "shutdown": "is ending", "stop": "is stopped"}


def with_guest(node: Candidate, memory: int, vcpus: int, *, running: bool) -> Candidate:
    """The node as it will be with one more VM. A guest may keep all its CPUs busy."""
    node = replace(node, provisioned=node.provisioned + memory, vms=node.vms + 1)
    if not running:
        return node
    return replace(
        node,
        allocated=node.allocated + memory,
        memory_free=node.memory_free - memory,
        vcpus=node.vcpus + vcpus,
        load=node.load + vcpus,
    )


def explained(candidates: Sequence[Candidate], wanted: Wanted) -> str:
    """Each node with why not, as "hv2: needs 4096 MiB, 1200 MiB free; hv3: is dead"."""
    return "; ".join(f"{node.name}: {refusal(node, wanted)}" for node in sorted(candidates, key=lambda node: node.name))
