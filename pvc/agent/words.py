"""What is told of a migration: its figures, and one sentence at its end."""

from __future__ import annotations

from pvc.hypervisor.base import Copy


def progress(copy: Copy) -> dict[str, int]:
    """seconds_left is there only while the copy outruns the guest."""
    found = {
        "bytes_left": copy.left,
        "bytes_per_s": copy.rate,
        "dirty_bytes_per_s": copy.dirty_rate,
        "rounds": copy.round,
        "elapsed_ms": copy.elapsed_ms,
    }
    if copy.rate > copy.dirty_rate:
        found["seconds_left"] = -(-copy.left // (copy.rate - copy.dirty_rate))
    return found


def figures(ended: Copy | None) -> dict[str, int]:
    """Of a migration that is over; empty when the hypervisor does not know."""
    if ended is None:
        return {}
    found = {"total_ms": ended.elapsed_ms, "bytes_copied": ended.processed}
    return found if ended.downtime_ms is None else found | {"downtime_ms": ended.downtime_ms}


def moved(name: str, node: str, found: dict[str, int]) -> str:
    took = f" in {found['total_ms'] / 1000:.1f} s" if "total_ms" in found else ""
    still = f"; it stood still for {found['downtime_ms']} ms" if "downtime_ms" in found else ""
    return f'Migrated VM "{name}" to node "{node}"{took}{still}.'


def shut_down(name: str, node: str, live_problem: str) -> str:
    """live_problem: why it was not moved live, when that was tried."""
    why = f" (live it did not: {live_problem})" if live_problem else ""
    return f'Shut down VM "{name}" and moved it to node "{node}", where it is started{why}.'
