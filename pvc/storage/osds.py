"""What Ceph says of its OSDs, here and there, put together. Pure."""

from __future__ import annotations

import re
from typing import Any

from pvc.storage.administration import OSD
from pvc.units import KIB, format_size

_FROM_DF = {
    **{name: name for name in ("utilization", "var", "pgs", "reweight")},
    **{name: name for name in ("kb", "kb_used", "kb_used_data", "kb_used_omap", "kb_used_meta", "kb_avail")},
    "crush_weight": "weight",
    "device_class": "class",
}


def joined(dump: Any, metadata: Any, df: Any, status: str) -> list[OSD]:
    """The answers to "osd dump", "osd metadata", "osd df" (JSON) and "osd status" (Ceph's own table)."""
    machines = {entry["id"]: entry for entry in metadata}
    measures = {entry["id"]: entry for entry in [*df["nodes"], *df["stray"]]}
    speeds = _speeds(status)
    return [
        _osd(entry, machines.get(entry["osd"], {}), measures.get(entry["osd"], {}), speeds.get(entry["osd"], ["0"] * 4))
        for entry in sorted(dump["osds"], key=lambda entry: int(entry["osd"]))
    ]


def _osd(entry: Any, machine: Any, measure: Any, speed: list[str]) -> OSD:
    node = machine.get("hostname", "")
    writes, written, reads, read = speed
    stats = {
        "uuid": entry["uuid"],
        "up": entry["up"],
        "in": entry["in"],
        "primary_affinity": entry["primary_affinity"],
        **{name: measure[key] for key, name in _FROM_DF.items() if key in measure},
        "node": node,
        "used": format_size(measure.get("kb_used", 0) * KIB),
        "avail": format_size(measure.get("kb_avail", 0) * KIB),
        "wr_ops": writes,
        "wr_data": written,
        "rd_ops": reads,
        "rd_data": read,
        "state": ",".join(entry["state"]),
    }
    own_db = machine.get("bluefs_dedicated_db") == "1"
    return OSD(
        id=entry["osd"],
        node=node,
        device=_device(machine.get("devices", "")),
        db_device=_device(machine.get("bluefs_db_devices", "")) if own_db else "",
        stats=stats,
    )


def _device(names: str) -> str:
    """names: without /dev/, comma between them."""
    return ",".join(f"/dev/{name}" for name in names.split(",") if name)


def _speeds(table: str) -> dict[int, list[str]]:
    """Operations written, bytes written, operations read, bytes read; of OSDs whose row has no gap."""
    rows = (re.split(r"\s{2,}", line.strip()) for line in table.splitlines()[1:])
    return {int(row[0]): row[4:8] for row in rows if len(row) == 9 and row[0].isdigit()}
