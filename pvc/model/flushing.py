"""Emptying a node: which of its VMs goes where and how, decided for all of them before the first one moves.

A node that gets its VMs back is the same with one node to choose from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pvc.model import placement
from pvc.model.placement import Candidate, Wanted
from pvc.model.records import MigrationMethod, Selector

FLUSH, UNFLUSH = "flush", "unflush"


class Way(StrEnum):
    OFF = "off"  # it is not running, and is not started
    LIVE = "live"
    LIVE_FIRST = "live, else shutdown"
    SHUTDOWN = "shutdown"


_WAYS = {
    MigrationMethod.NONE: Way.LIVE_FIRST,
    MigrationMethod.LIVE: Way.LIVE,
    MigrationMethod.SHUTDOWN: Way.SHUTDOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaver:
    """One VM that is to go. memory: bytes. stays: why it can go nowhere, "" when it may.

    tried: the nodes that it set out for and did not reach, each with why. no_encryption: why its node can send none
    encrypted.
    """

    name: str
    uuid: str
    memory: int = 0
    vcpus: int = 0
    running: bool = True
    method: MigrationMethod = MigrationMethod.NONE
    selector: Selector = Selector.NONE
    node_limit: tuple[str, ...] = ()
    stays: str = ""
    no_encryption: str = ""
    tried: Mapping[str, str] = field(default_factory=dict)

    @property
    def way(self) -> Way:
        return _WAYS[self.method] if self.running else Way.OFF

    @property
    def wanted(self) -> Wanted:
        if not self.running:
            return Wanted(memory=0, vcpus=0, node_limit=self.node_limit)
        return Wanted(
            memory=self.memory,
            vcpus=self.vcpus,
            node_limit=self.node_limit,
            live=self.method is not MigrationMethod.SHUTDOWN,
            no_encryption=self.no_encryption,
        )


@dataclass(frozen=True, slots=True)
class Move:
    vm: Leaver
    target: str


@dataclass(frozen=True, slots=True)
class Stay:
    vm: Leaver
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    moves: tuple[Move, ...]
    stays: tuple[Stay, ...]


def plan(leavers: Sequence[Leaver], targets: Sequence[Candidate], default: Selector) -> Plan:
    """Place those first that have the fewest nodes to go to, then the largest; each takes its room from the next."""
    moves, stays = [], []
    nodes = {node.name: node for node in targets}
    for vm in sorted(leavers, key=lambda vm: _urgency(vm, targets)):
        fitting = [node for node in nodes.values() if not _refusal(vm, node)]
        target = placement.choose(fitting, vm.wanted, vm.selector, default)
        if vm.stays or target is None:
            stays.append(Stay(vm, vm.stays or _explained(vm, list(nodes.values()))))
        else:
            moves.append(Move(vm, target))
            nodes[target] = placement.with_guest(nodes[target], vm.memory, vm.vcpus, running=vm.running)
    return Plan(tuple(moves), tuple(stays))


def _urgency(vm: Leaver, targets: Sequence[Candidate]) -> tuple[bool, int, int, str]:
    choices = sum(not _refusal(vm, node) for node in targets)
    return not vm.running, choices, -vm.memory, vm.name


def _refusal(vm: Leaver, node: Candidate) -> str:
    tried = vm.tried.get(node.name, "") if vm.running else ""
    return placement.refusal(node, vm.wanted) or tried


def _explained(vm: Leaver, targets: Sequence[Candidate]) -> str:
    reasons = [f"{node.name}: {_refusal(vm, node)}" for node in sorted(targets, key=lambda node: node.name)]
    return "; ".join(reasons) or "there is no other node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Guests on their way at the same time: in all, and to one node."""

    at_once: int = 4
    to_one: int = 4


def next_moves(moves: Sequence[Move], under_way: Sequence[str], limits: Limits) -> list[Move]:
    """Those that may begin now. under_way: the target of each that has begun.

    What is off comes last, as in the plan, which would otherwise come out differently; it only changes its record.
    """
    to, begun = Counter(under_way), []
    for move in moves:
        if move.vm.running and to.total() < limits.at_once and to[move.target] < limits.to_one:
            to[move.target] += 1
            begun.append(move)
    off = [move for move in moves if not move.vm.running]
    return begun if len(begun) + len(off) < len(moves) else begun + off
