"""A guest whose disks are in Ceph: booted, plugged and left alone by a real libvirt and QEMU."""

from __future__ import annotations

import asyncio
import base64
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pvc.errors import InUse
from pvc.hypervisor import domxml
from pvc.storage.rbd import RBDPool
from pvc.units import MIB
from tests import guest
from tests.contract.hypervisor.harness import DEVICE, LibvirtHarness
from tests.contract.storage.rbd_harness import RBDHarness
from tests.parts.ceph import Ceph
from tests.parts.libvirtd import Libvirtd

pytestmark = pytest.mark.real

GUEST = """<domain><name>ceph</name><uuid>7d9c1b0e-7e4f-4b57-9f0b-0c8f6a7d3c21</uuid>
  <memory unit='MiB'>192</memory><vcpu>1</vcpu><features><acpi/></features>
  <devices><disk type='volume' device='disk'><source pool='local' volume='root'/>
  <target dev='vda' bus='virtio'/></disk></devices></domain>"""
UUID = "7d9c1b0e-7e4f-4b57-9f0b-0c8f6a7d3c21"


@pytest.fixture
def ceph_pool(ceph: Ceph) -> Iterator[RBDHarness]:
    with RBDHarness(ceph) as harness:
        yield harness


@pytest.fixture
async def pool(ceph_pool: RBDHarness) -> AsyncIterator[RBDPool]:
    """With the guest's disk "root" and an empty one "extra"."""
    pool = await ceph_pool.open()
    image = await asyncio.to_thread(guest.build().raw.read_bytes)
    await pool.create("root", len(image))
    await pool.create("extra", 32 * MIB)
    async with pool.draft("root") as draft:
        await draft.write(image)
        await draft.commit()
    yield pool
    await pool.aclose()


@pytest.fixture
async def harness(pool: RBDPool, tmp_path: Path, libvirtd: Libvirtd) -> AsyncIterator[LibvirtHarness]:
    tmp_path.chmod(0o755)
    harness = LibvirtHarness(tmp_path, libvirtd)
    yield harness
    for seen in await harness.hypervisor.domains():
        await harness.hypervisor.stop(seen.uuid)
    await harness.hypervisor.aclose()


def finished(pool: RBDPool, folder: Path) -> str:
    return domxml.finished(
        GUEST,
        run=1,
        domain_type="qemu",
        volume=lambda volume: pool.source(volume.partition("/")[2]),
        console_log=str(folder / "ceph.log"),
        hotplug_slots=4,
    )


async def test_a_guest_boots_from_ceph_and_its_volume_is_in_use(pool: RBDPool, harness: LibvirtHarness) -> None:
    secret = await pool.secret()
    for _ in range(2):
        await harness.hypervisor.keep_secret(secret)
    await harness.hypervisor.start(finished(pool, harness.folder))
    await harness.booted("ceph")
    assert await pool.is_open("root")
    with pytest.raises(InUse):
        async with pool.draft("root"):
            pass
    device = domxml.finished_device(DEVICE, lambda volume: pool.source(volume.partition("/")[2]))
    await harness.hypervisor.attach(UUID, device)
    assert await pool.is_open("extra")
    dev = domxml.dev_of(await harness.hypervisor.xml(UUID), pool.source("extra"))
    assert dev == "vdb"
    await harness.hypervisor.resize_disk(UUID, dev, 64 * MIB)
    assert (await pool.volume("extra")).size == 64 * MIB
    live = domxml.live_device(await harness.hypervisor.xml(UUID), device)
    assert live is not None
    await harness.hypervisor.detach(UUID, live, 60)
    assert not await pool.is_open("extra")
    await harness.hypervisor.stop(UUID)
    assert not await pool.is_open("root")


async def test_the_key_is_in_no_document_and_libvirt_gives_it_to_nobody(pool: RBDPool, harness: LibvirtHarness) -> None:
    secret = await pool.secret()
    await harness.hypervisor.keep_secret(secret)
    await harness.hypervisor.start(finished(pool, harness.folder))
    document = await harness.hypervisor.xml(UUID)
    assert secret.uuid in document
    assert base64.b64encode(secret.value).decode() not in document
    shown = ["virsh", "-c", harness.daemon.uri, "secret-get-value", secret.uuid]
    virsh = await asyncio.create_subprocess_exec(*shown, stdout=PIPE, stderr=PIPE)
    said, refused = await virsh.communicate()
    assert said.strip() == b""
    assert b"private" in refused
