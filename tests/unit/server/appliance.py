"""An OVA with two disks and two networks, uploaded and made into VMs."""

from __future__ import annotations

import io
from typing import Any

from pvc.cluster import networks
from pvc.model.records import Network
from pvc.units import MIB
from tests.parts.ova import RAW, archive, described, manifest, member
from tests.unit.server.site import Answer, Site

PATH = "/provisioner/ova"
SIZE = 4 * MIB
A, B = bytes(range(256)) * 4096, b"b" * 5000
DESCRIPTOR = described(("a.img", RAW), ("b.img", RAW), networks=["VM Network", "dmz"])
SUMS = manifest(x__ovf=DESCRIPTOR, a__img=A, b__img=B)
WHOLE = archive(member("x.ovf", DESCRIPTOR), member("x.mf", SUMS), member("a.img", A), member("b.img", B))
VOLUMES = ["local/ova_app_vda", "local/ova_app_vdb"]


async def upload(site: Site, body: bytes = WHOLE, name: str = "app", **more: str) -> Answer:
    params = {"pool": "local", "name": name} | more
    return await site.ask("POST", PATH, params, data=io.BytesIO(body))


async def stock(site: Site) -> None:
    """With an agent, two networks, and the OVA."""
    await networks.add(site.state, Network(vni=100, description="lan", bridge="vmbr100"))
    await networks.add(site.state, Network(vni=200, description="dmz", bridge="vmbr200"))
    assert (await upload(site)).status == 200


async def define(site: Site, **params: Any) -> Answer:
    return await site.ask("POST", f"{PATH}/app/define", json={"name": "web1"} | params)


MAPPED = ["VM Network=lan", "dmz=200"]
