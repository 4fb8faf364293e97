"""What a node is, told from the signs it leaves."""

from __future__ import annotations

from dataclasses import dataclass

from pvc.model.records import DaemonState, Node, NodeStatus, Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """status: read after `alive`, so that an end in order is never taken for a death."""

    node: Node
    alive: bool
    waiting: Waiting | None
    status: NodeStatus

    @property
    def daemon_state(self) -> str:
        """run, init (starts, or waits for the end of its own last session), shutdown, stop (ended in order) or dead."""
        if self.status.daemon is DaemonState.STOP:
            return "stop"
        if not self.alive:
            return "dead"
        if self.waiting is not None and self.waiting.machine == self.node.machine:
            return "init"
        unsaid = "run" if self.status.problem else "init"  # what it said cannot be read, or it said nothing yet
        return self.status.daemon or unsaid

    @property
    def rival(self) -> str:
        """What is wrong when an agent on another machine has this node's name, "" when none has."""
        if self.waiting is None or self.waiting.machine == self.node.machine:
            return ""
        return (
            f'An agent on machine "{self.waiting.machine}" has this name too, and waits because {self.waiting.reason}.'
        )


def doubt(node: str, status: NodeStatus, *, alive: bool) -> str:
    """Why what the node said of its VMs may no longer be so, "" when it is."""
    if not alive:
        return f'Node "{node}" does not answer: whether the VM runs is not known.'
    if status.problem:
        return f'Node "{node}" cannot tell whether the VM runs: {status.problem}'
    return ""
