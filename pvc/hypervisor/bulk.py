"""libvirt's statistics of one domain, in the words of the API. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pvc.model.records import CPUUse, DiskUse, MemoryUse, NicUse, Use

# Ours: libvirt's, below "balloon.", "cpu." and "net.N.", and of one disk. KiB where it is an amount of memory.
_MEMORY = {
    "actual": "current",
    "swap_in": "swap_in",
    "swap_out": "swap_out",
    "major_fault": "major_fault",
    "minor_fault": "minor_fault",
    "unused": "unused",
    "available": "available",
    "usable": "usable",
    "last_update": "last-update",
    "rss": "rss",
}
_CPU = {"cpu_time": "time", "user_time": "user", "system_time": "system"}
_NIC = {
    f"{ours}_{word}": f"{theirs}.{short}"
    for ours, theirs in (("rd", "rx"), ("wr", "tx"))
    for word, short in (("bytes", "bytes"), ("packets", "pkts"), ("errors", "errs"), ("drops", "drop"))
}
_DISK = {"rd_req": "rd_operations", "rd_bytes": "rd_bytes", "wr_req": "wr_operations", "wr_bytes": "wr_bytes"}


def use_of(stats: Mapping[str, Any], disks: Mapping[str, Mapping[str, int]]) -> Use:
    """What is not there was not told: a guest without a balloon driver. disks: by device name."""
    return Use(
        memory=MemoryUse(**_picked(stats, "balloon", _MEMORY)),
        cpu=CPUUse(**_picked(stats, "cpu", _CPU)),
        nics={name: NicUse(**_picked(stats, where, _NIC)) for where, name in _named(stats, "net")},
        disks={name: DiskUse(**_told(told, _DISK)) for name, told in disks.items()},
    )


def _named(stats: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    for number in range(stats.get(f"{kind}.count", 0)):
        where = f"{kind}.{number}"
        if f"{where}.name" in stats:
            yield where, str(stats[f"{where}.name"])


def _picked(stats: Mapping[str, Any], where: str, words: Mapping[str, str]) -> dict[str, Any]:
    return _told(stats, {ours: f"{where}.{theirs}" for ours, theirs in words.items()})


def _told(stats: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    return {ours: stats[key] for ours, key in words.items() if key in stats}
