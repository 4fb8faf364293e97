"""Hot attach of a disk through pvc against `virsh attach-device`, to the same running guest."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt

from tests import guest
from tests.bench.ground import Ground
from tests.bench.race import Contender, race, report

ROUNDS = 5
SIZE = 64 << 20

UUID = "5b0a7a4e-7b86-4d0f-8f0c-6d1c3c1c9a11"

DOMAIN = f"""\
<domain><name>bench</name><uuid>{UUID}</uuid><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<devices><disk type='volume' device='disk'><source pool='local' volume='system'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>"""

DISK = """\
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/>
<target dev='vdz' bus='virtio'/><alias name='ua-bench'/></disk>"""


def measure(ground: Ground) -> None:
    with running_guest(ground):
        volume = ground.new_volume("plugged", SIZE)
        virsh = Virsh(ground.libvirtd.uri, ground.folder)
        typed = [str(ground.program), "vm", "volume", "add", "bench", volume]

        def take_off() -> None:
            ground.api.ask("DELETE", "/vm/bench/volume", volume=volume)

        contenders = [
            Contender("virsh attach-device", virsh.attach, virsh.detach),
            Contender(
                "pvc, POST /vm/VM/volume", lambda: ground.api.ask("POST", "/vm/bench/volume", volume=volume), take_off
            ),
            Contender("pvc vm volume add", lambda: ground.run(*typed), take_off),
        ]
        race(contenders, ROUNDS)
        report("Hot attach of a disk; pvc's is recorded in the configuration too", contenders)
        ground.remove_volume(volume)


@contextmanager
def running_guest(ground: Ground) -> Iterator[None]:
    """Ticking, so that it can let go of devices."""
    image = guest.build().raw
    system = ground.new_volume("system", image.stat().st_size)
    ground.api.upload(system, image, "raw")
    ground.api.ask("POST", "/vm", xml=DOMAIN)
    ground.api.ask("POST", "/vm/bench/state", state="start", wait="true")
    wait_for_tick(ground)
    try:
        yield
    finally:
        ground.api.ask("POST", "/vm/bench/state", state="stop", wait="true")
        ground.api.ask("DELETE", "/vm/bench", delete_disks="true")


def wait_for_tick(ground: Ground) -> None:
    words = [str(ground.program), "vm", "log", "bench", "--follow"]
    with subprocess.Popen(words, env=ground.environment, stdout=subprocess.PIPE, text=True) as console:
        if not any("tick" in line for line in console.stdout or ()):
            raise RuntimeError("The guest did not boot.")
        console.terminate()


class Virsh:
    """Attaches by virsh; detaches by libvirt itself, which tells when the guest has let go."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._uri, self._file = uri, folder / "disk.xml"
        disk = folder / "virsh.raw"
        with disk.open("wb") as file:
            file.truncate(SIZE)
        self._file.write_text(DISK.format(path=disk))
        libvirt.virEventRegisterDefaultImpl()

    def attach(self) -> None:
        words = ["virsh", "-q", "-c", self._uri, "attach-device", "bench", str(self._file), "--live"]
        subprocess.run(words, check=True, capture_output=True)

    def detach(self) -> None:
        gone: list[str] = []
        connection = libvirt.open(self._uri)
        domain = connection.lookupByUUIDString(UUID)
        connection.domainEventRegisterAny(
            domain, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, lambda _c, _d, alias, _o: gone.append(alias), None
        )
        domain.detachDeviceFlags(self._file.read_text(), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        while not gone:
            libvirt.virEventRunDefaultImpl()
        connection.close()
