"""libvirt's bulk statistics, read into what the API says."""

from __future__ import annotations

from pvc.hypervisor.bulk import use_of
from pvc.model.records import CPUUse, DiskUse, MemoryUse, NicUse, Use

FULL = {
    "cpu.time": 100,
    "cpu.user": 20,
    "cpu.system": 30,
    "balloon.current": 1048576,
    "balloon.maximum": 2097152,
    "balloon.swap_in": 0,
    "balloon.last-update": 1682707624,
    "balloon.rss": 700000,
    "net.count": 2,
    "net.0.name": "vnet3",
    **{
        f"net.0.{way}.{what}": number
        for number, (way, what) in enumerate(
            (way, what) for way in ("rx", "tx") for what in ("bytes", "pkts", "errs", "drop")
        )
    },
    "net.1.rx.bytes": 9,
}
DISKS = {"vda": {"rd_operations": 1, "rd_bytes": 2, "wr_operations": 3, "wr_bytes": 4, "errs": -1}, "vdb": {}}


def test_everything_that_is_told_is_taken_and_nothing_else_is_there() -> None:
    nic = NicUse(
        rd_bytes=0,
        rd_packets=1,
        rd_errors=2,
        rd_drops=3,
        wr_bytes=4,
        wr_packets=5,
        wr_errors=6,
        wr_drops=7,
    )
    assert use_of(FULL, DISKS) == Use(
        memory=MemoryUse(actual=1048576, swap_in=0, last_update=1682707624, rss=700000),
        cpu=CPUUse(cpu_time=100, user_time=20, system_time=30),
        nics={"vnet3": nic},
        disks={"vda": DiskUse(rd_req=1, rd_bytes=2, wr_req=3, wr_bytes=4), "vdb": DiskUse()},
    )


def test_of_a_domain_that_is_busy_nothing_is_told() -> None:
    assert use_of({}, {}) == Use()
