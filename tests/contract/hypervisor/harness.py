"""The same guest on each hypervisor, and what its surroundings can do to it."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from pathlib import Path
from typing import Protocol

from pvc.agent.console import follow
from pvc.hypervisor import domxml
from pvc.hypervisor.base import Event, Hypervisor
from pvc.hypervisor.fake import FakeHypervisor
from pvc.hypervisor.libvirt import LibvirtHypervisor
from pvc.storage.base import FileSource
from tests import guest
from tests.parts.libvirtd import Libvirtd

DEVICE = (
    """<disk type='volume' device='disk'><source pool='local' volume='extra'/><target dev='vdb' bus='virtio'/></disk>"""
)


SCREEN = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>"


def domain_xml(name: str, folder: Path, *, run: int = 1, disk: bool = True, more: str = "") -> str:
    """A small VM; with its disk it boots a guest that obeys the power button, without it hears nothing."""
    drive = """<disk type='volume' device='disk'><source pool='local' volume='root'/>
               <target dev='vda' bus='virtio'/></disk>"""
    text = f"""<domain><name>{name}</name><uuid>{uuid.uuid5(uuid.NAMESPACE_DNS, name)}</uuid>
      <memory unit='MiB'>192</memory><vcpu>1</vcpu><features><acpi/></features>
      <devices>{drive if disk else ""}{more}</devices></domain>"""
    return domxml.finished(
        text,
        run=run,
        domain_type="qemu",
        volume=lambda volume: FileSource(str(folder / volume.replace("/", "-"))),
        console_log=str(folder / f"{name}.log"),
        hotplug_slots=4,
    )


def device_xml(folder: Path) -> str:
    return domxml.finished_device(DEVICE, lambda volume: FileSource(str(folder / volume.replace("/", "-"))))


def lay_out(folder: Path) -> None:
    """Put the guest's disks where QEMU can open them."""
    folder.chmod(0o755)
    shutil.copy(guest.build().raw, folder / "local-root")
    with (folder / "local-extra").open("wb") as extra:
        extra.truncate(32 << 20)


class Harness(Protocol):
    hypervisor: Hypervisor
    folder: Path

    def crash(self, name: str, uuid: str) -> None: ...

    async def booted(self, name: str) -> None:
        """Return when the guest of that name listens to its devices."""
        ...


class FakeHarness:
    def __init__(self, folder: Path) -> None:
        self.fake = FakeHypervisor()
        self.hypervisor: Hypervisor = self.fake
        self.folder = folder

    def crash(self, name: str, uuid: str) -> None:
        self.fake.crash(uuid)

    async def booted(self, name: str) -> None:
        return


class LibvirtHarness:
    def __init__(self, folder: Path, daemon: Libvirtd) -> None:
        self.daemon = daemon
        self.hypervisor: Hypervisor = LibvirtHypervisor(daemon.uri, "qemu")
        self.folder = folder

    def crash(self, name: str, uuid: str) -> None:
        self.daemon.kill_guest(name)

    async def booted(self, name: str) -> None:
        said = b""
        async with asyncio.timeout(60):
            async for data in follow(self.folder / f"{name}.log", 1000):
                said += data
                if b"tick 1 " in said:
                    return


class Ears:
    """Every event heard, and a wait for the one that is wanted."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.heard: list[Event] = []
        self._new = asyncio.Event()
        hypervisor.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        self.heard.append(event)
        self._new.set()

    async def ending(self, uuid: str) -> Event:
        async with asyncio.timeout(60):
            while True:
                for event in self.heard:
                    if event.uuid == uuid and event.ending is not None:
                        return event
                self._new.clear()
                await self._new.wait()
