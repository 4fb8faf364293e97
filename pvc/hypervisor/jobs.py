"""What libvirt's statistics of a migration say, as one value."""

from __future__ import annotations

from collections.abc import Mapping

from pvc.hypervisor.base import Copy


def copy_of(stats: Mapping[str, int | str]) -> Copy:
    """stats: as jobStats and the event of a job's end give them; what is missing is 0.

    The rate of change is counted in pages, all others in bytes.
    """

    def number(name: str) -> int:
        return int(stats.get(name, 0))

    return Copy(
        total=number("memory_total") or number("data_total"),
        processed=number("memory_processed") or number("data_processed"),
        left=number("memory_remaining"),
        rate=number("memory_bps"),
        dirty_rate=number("memory_dirty_rate") * (number("memory_page_size") or 4096),
        round=number("memory_iteration"),
        elapsed_ms=number("time_elapsed"),
        downtime_ms=number("downtime") if "downtime" in stats else None,
    )
