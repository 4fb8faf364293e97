"""Requests that may take long, each with what becomes of it: on a site as `stock` leaves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pvc.model.records import OVA, OVADisk, encode
from pvc.storage.administration import Layout
from pvc.store.base import Create
from pvc.units import MIB
from tests.parts import documents
from tests.unit.server.site import Answer, Site

STORAGE = "/storage/ceph"
UUID = "10000000-0000-4000-8000-000000000001"
VOLUME, SNAPSHOT = f"{STORAGE}/volume/local/disk0", f"{STORAGE}/snapshot/local/disk0/s1"


@dataclass(frozen=True)
class Long:
    """act: of the pool or of Ceph's administration, which is the work itself. doing, done: what is said while it goes
    on, and in the end, with what `more`.
    """

    method: str
    path: str
    kind: str
    target: str
    act: str
    doing: str
    done: str
    params: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} of {self.target}"

    def actor(self, site: Site) -> object:
        return site.ceph if self.act == "remove_pool" else site.pool

    async def ask(self, site: Site, **more: Any) -> Answer:
        return await site.ask(self.method, self.path, {**self.params, **more})


REMOVE = Long(
    "DELETE",
    f"{STORAGE}/volume/local/bare",
    "removal",
    "volume/local/bare",
    "remove",
    'Removing volume "bare" in pool "local".',
    'Removed volume "bare" in pool "local".',
)
SNAP = Long(
    "POST",
    f"{STORAGE}/snapshot/local/disk0/s2",
    "snapshot",
    "volume/local/disk0",
    "snapshot",
    'Taking snapshot "s2" of volume "disk0" in pool "local".',
    'Created snapshot "s2" of volume "disk0" in pool "local".',
)
REVERT = Long(
    "POST",
    f"{SNAPSHOT}/rollback",
    "revert",
    "volume/local/disk0",
    "roll_back",
    'Rolling volume "disk0" in pool "local" back to snapshot "s1".',
    'Rolled volume "disk0" in pool "local" back to snapshot "s1".',
)
FORGET = Long(
    "DELETE",
    SNAPSHOT,
    "removal",
    "snapshot/local/disk0@s1",
    "remove_snapshot",
    'Removing snapshot "s1" of volume "disk0" in pool "local".',
    'Removed snapshot "s1" of volume "disk0" in pool "local".',
)
GROW = Long(
    "PUT",
    VOLUME,
    "resize",
    "volume/local/disk0",
    "resize",
    'Resizing volume "disk0" in pool "local".',
    'Resized volume "disk0" to size "2M" in pool "local".',
    {"new_size": 2 * MIB},
)
SHRINK = Long(
    "PUT",
    VOLUME,
    "resize",
    "volume/local/disk0",
    "resize",
    'Resizing volume "disk0" in pool "local".',
    'Resized volume "disk0" to size "4K" in pool "local".',
    {"new_size": 4096, "force": "true"},
)
NO_OVA = Long(
    "DELETE",
    "/provisioner/ova/app",
    "removal",
    "ova/app",
    "remove",
    'Removing OVA "app".',
    'Removed OVA "app".',
    more={"volumes": ["local/ova_app_vda"]},
)
NO_POOL = Long(
    "DELETE",
    f"{STORAGE}/pool/vms",
    "removal",
    "pool/vms",
    "remove_pool",
    'Removing RBD pool "vms".',
    'Removed RBD pool "vms" and its only volume.',
    {"yes-i-really-mean-it": "yes"},
    more={"volumes": ["inside"]},
)
NO_VM = Long(
    "DELETE",
    "/vm/web1",
    "removal",
    f"vm/{UUID}",
    "remove",
    'Removing VM "web1".',
    'Removed VM "web1" and its volume "local/web1" from the cluster.',
    {"delete_disks": "true"},
    more={"volumes": ["local/web1"]},
)
ALL = [REMOVE, SNAP, REVERT, FORGET, GROW, SHRINK, NO_OVA, NO_POOL, NO_VM]
TO_THE_END = [one for one in ALL if one is not SNAP]


async def stock(site: Site) -> None:
    """A volume with a snapshot and something written since, one without, a VM, an OVA, and a pool of Ceph's."""
    for name in ("disk0", "bare", "web1", "ova_app_vda"):
        await site.pool.create(name, MIB)
    site.fill("disk0", b"then")
    await site.pool.snapshot("disk0", "s1")
    site.fill("disk0", b"now!")
    xml = documents.vm("web1", devices=[documents.disk("local/web1")], uuid=UUID)
    assert (await site.ask("POST", "/vm", json={"xml": xml})).status == 200
    disk = OVADisk(dev="vda", volume="local/ova_app_vda", size=MIB)
    ova = OVA(name="app", whole=True, vcpus=1, memory=64, disks=(disk,))
    await site.state.store.commit(Create(site.state.paths.ova("app"), encode(ova)))
    await site.ceph.create_pool("vms", Layout(8, 1, 1))
    assert (await site.ask("POST", f"{STORAGE}/volume/vms/inside", {"size": MIB})).status == 200


async def found(site: Site) -> dict[str, Any]:
    """What of it may change."""
    names = [volume.name for volume in await site.pool.volumes()]
    snapshots = [one.name for one in await site.pool.snapshots("disk0")]
    disk = site.content("disk0")
    others = {
        "vms": [one["name"] for one in (await site.ask("GET", "/vm")).body],
        "ovas": [one["name"] for one in (await site.ask("GET", "/provisioner/ova")).body],
        "pools": [one["name"] for one in (await site.ask("GET", f"{STORAGE}/pool")).body],
    }
    return {"volumes": names, "snapshots": snapshots, "begins": disk[:4], "size": len(disk), **others}


BEFORE = {
    "volumes": ["bare", "disk0", "ova_app_vda", "web1"],
    "snapshots": ["s1"],
    "begins": b"now!",
    "size": MIB,
    "vms": ["web1"],
    "ovas": ["app"],
    "pools": ["local", "vms"],
}
AFTER = [
    (REMOVE, {"volumes": ["disk0", "ova_app_vda", "web1"]}),
    (SNAP, {"snapshots": ["s1", "s2"]}),
    (REVERT, {"begins": b"then"}),
    (FORGET, {"snapshots": []}),
    (GROW, {"size": 2 * MIB}),
    (SHRINK, {"size": 4096}),
    (NO_OVA, {"volumes": ["bare", "disk0", "web1"], "ovas": []}),
    (NO_POOL, {"pools": ["local"]}),
    (NO_VM, {"volumes": ["bare", "disk0", "ova_app_vda"], "vms": []}),
]
