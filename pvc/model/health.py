"""How well the cluster is: every reason why not, with the points that it takes from 100. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

# A node, a pool or Ceph does not do its work at all.
LOST = 50
# Something that should run does not.
FAILED = 25
# It works, with less than it should have.
SHORT = 10

# Shares of a pool from which on it is short of space, and from which on nobody should wait any longer.
FILLING, FULL = 0.85, 0.95


class Alarm(StrEnum):
    """What somebody who watches is to be told. SILENCED: there are reasons, and maintenance."""

    NONE = "none"
    WARNING = "warning"
    CRITICAL = "critical"
    SILENCED = "silenced"


@dataclass(frozen=True, slots=True)
class Reason:
    """text: one sentence."""

    kind: str
    name: str
    points: int
    text: str


def score(reasons: Iterable[Reason]) -> int:
    return max(0, 100 - sum(reason.points for reason in reasons))


def alarm(reasons: Sequence[Reason], *, maintenance: bool) -> Alarm:
    if not reasons:
        return Alarm.NONE
    if maintenance:
        return Alarm.SILENCED
    return Alarm.CRITICAL if score(reasons) <= 100 - LOST else Alarm.WARNING


def of_node(
    name: str, found: Iterable[tuple[str, int]], *, domain_state: str, version: str, ours: str
) -> Iterator[Reason]:
    """found: what was looked at, with the health that it costs the node. version: of its agent; ours: who asks."""
    for text, delta in found:
        if delta:
            yield Reason("node", name, min(delta, LOST), f'Node "{name}": {text}')
    if domain_state != "ready":
        yield Reason("node", name, SHORT, f'Node "{name}" takes no VMs: it is in state "{domain_state}".')
    if version not in ("", ours):
        yield Reason("node", name, SHORT, f'Node "{name}" runs pvc {version}, this server {ours}.')


def of_no_nodes() -> Reason:
    """Nothing can run, however well all that there is may be."""
    return Reason("cluster", "pvc", LOST, "The cluster has no nodes: no agent has joined it.")


def of_vm(name: str, state: str, why: str) -> Iterator[Reason]:
    """A VM that somebody stopped is well; one that cannot run is not."""
    if state == "fail":
        yield Reason("vm", name, FAILED, f'VM "{name}" is in state "fail": {_sentence(why)}')
    elif state == "start" and why:
        yield Reason("vm", name, SHORT, f'VM "{name}" does not run as it should: {_sentence(why)}')


def of_pool(name: str, free: int, total: int) -> Iterator[Reason]:
    """Bytes. What is not free is full, whoever filled it."""
    share = 1 - free / total if total else 0.0
    if share >= FILLING:
        points = LOST if share >= FULL else SHORT
        yield Reason("pool", name, points, f'Pool "{name}" is {share:.0%} full.')


def of_volume(name: str, problem: str) -> Iterator[Reason]:
    if problem:
        yield Reason("volume", name, SHORT, f'Volume "{name}": {_sentence(problem)}')


def of_ceph(check: str, severity: str, text: str) -> Iterator[Reason]:
    """One of Ceph's own checks, by its name; severity: Ceph's word."""
    points = LOST if severity == "HEALTH_ERR" else SHORT
    yield Reason("ceph", check, points, f"Ceph: {_sentence(text)}")


def silent(kind: str, name: str, problem: str) -> Reason:
    """A part that does not answer; it says so itself."""
    return Reason(kind, name, LOST, problem)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
