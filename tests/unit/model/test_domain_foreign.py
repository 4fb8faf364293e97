"""Whatever a VM's XML takes from the host is found: whoever may define a VM must not become root by it."""

from __future__ import annotations

import pytest

from pvc.model import domain
from pvc.model.foreign import foreign_parts
from tests.parts import documents

QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
DISK = "<disk type='{}' device='disk'><source {}/><target dev='vda'/></disk>"


def foreign(*devices: str, more: str = "") -> list[str]:
    return foreign_parts(domain.parse(documents.vm(devices=devices, more=more)))


@pytest.mark.parametrize(
    "device",
    [
        documents.disk("local/web1"),
        documents.nic(),
        "<disk type='network' device='disk'><source protocol='rbd' name='vms/web1'/><target dev='vda'/></disk>",
        "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>",
        "<serial type='pty'/>",
        "<console type='pty'><target type='serial' port='0'/></console>",
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
        "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>",
        "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
        "<controller type='scsi' model='virtio-scsi'/>",
        "<audio id='1' type='none'/>",
    ],
)
def test_what_stays_in_the_cluster_is_not_foreign(device: str) -> None:
    assert foreign(device) == []


@pytest.mark.parametrize(
    ("device", "found"),
    [
        (DISK.format("file", "file='/etc/shadow'"), 'the disk source "/etc/shadow"'),
        (DISK.format("file", "file='etc/shadow'"), 'the disk source "etc/shadow"'),
        (DISK.format("block", "dev='/dev/sda'"), 'the disk source "/dev/sda"'),
        (DISK.format("dir", "dir='/root'"), 'the disk source "/root"'),
        (DISK.format("nvme", "type='pci' managed='yes' namespace='1'"), 'the disk source ""'),
        (DISK.format("network", "protocol='nbd' name='x'"), 'the disk source "x"'),
        (DISK.format("volume", "pool='..' volume='x'"), 'the disk source "../x"'),
        (DISK.format("volume", "pool='local' volume='../x'"), 'the disk source "local/../x"'),
        (DISK.format("volume", "pool='local' volume='a/b'"), 'the disk source "local/a/b"'),
        (DISK.format("network", "protocol='rbd' name='vms/../x'"), 'the disk source "vms/../x"'),
        ("<disk type='file' device='disk'><target dev='vda'/></disk>", 'the disk source ""'),
        ("<hostdev mode='subsystem' type='pci'/>", 'the device "hostdev"'),
        ("<filesystem type='mount'/>", 'the device "filesystem"'),
        ("<redirdev bus='usb' type='spicevmc'/>", 'the device "redirdev"'),
        ("<shmem name='x'/>", 'the device "shmem"'),
        ("<smartcard mode='host'/>", 'the device "smartcard"'),
        ("<parallel type='dev'/>", 'the device "parallel"'),
        ("<nonsense/>", 'the device "nonsense"'),
        ("<interface type='network'/>", 'the interface type "network"'),
        ("<interface type='direct'><source dev='eth0'/></interface>", 'the interface type "direct"'),
        ("<interface type='ethernet'/>", 'the interface type "ethernet"'),
        ("<interface/>", 'the interface type ""'),
        ("<serial type='file'><source path='/etc/cron.d/x'/></serial>", 'the host path "/etc/cron.d/x"'),
        ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", 'the host path "/dev/ttyS0"'),
        ("<serial type='tcp'><source host='127.0.0.1' service='2181'/></serial>", 'the serial type "tcp"'),
        ("<console type='udp'/>", 'the console type "udp"'),
        ("<channel type='pipe'/>", 'the channel type "pipe"'),
        ("<channel type='unix'><source path='/run/pvc/pvc.sock'/></channel>", 'the host path "/run/pvc/pvc.sock"'),
        ("<serial type='pty'><log file='/etc/passwd'/></serial>", 'the host path "/etc/passwd"'),
        ("<graphics type='vnc' socket='/run/x'/>", 'the host path "/run/x"'),
        ("<rng model='virtio'><backend model='random'>/dev/sda</backend></rng>", 'the host path "/dev/sda"'),
        ("<rng model='virtio'><backend model='egd' type='tcp'/></rng>", 'the rng backend "egd"'),
        ("<tpm><backend type='passthrough'/></tpm>", 'the tpm backend "passthrough"'),
        ("<input type='evdev'><source dev='/dev/input/event0'/></input>", 'the host path "/dev/input/event0"'),
        ("<audio id='1' type='alsa'/>", 'the audio type "alsa"'),
        (documents.nic().replace("<source", "<script path='/tmp/evil'/><source"), 'the host path "/tmp/evil"'),
        (documents.nic().replace("<source", "<script path='evil'/><source"), 'the host path "evil"'),
        (
            documents.disk("local/a").replace("<target", "<backingStore><source file=' /x '/></backingStore><target"),
            'the host path "/x"',
        ),
        (
            documents.disk("local/a").replace("<target", "<backingStore><source file='x'/></backingStore><target"),
            'the host path "x"',
        ),
    ],
)
def test_a_device_of_the_host_is_found(device: str, found: str) -> None:
    assert found in foreign(device)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("<os2><loader>/etc/shadow</loader></os2>", 'the host path "/etc/shadow"'),
        ("<x><loader readonly='yes'>/usr/share/OVMF/../../../etc/shadow</loader></x>", "OVMF/../../../etc/shadow"),
        ("<x><nvram template='/etc/shadow'/></x>", 'the host path "/etc/shadow"'),
        ("<x><kernel>/boot/vmlinuz</kernel></x>", 'the host path "/boot/vmlinuz"'),
        ("<x><kernel>boot/vmlinuz</kernel></x>", 'the host path "boot/vmlinuz"'),
        ("<x><initrd>\n  /boot/initrd\n</initrd></x>", 'the host path "/boot/initrd"'),
        ("<x><dtb>x</dtb></x>", 'the host path "x"'),
        ("<sysinfo><entry name='opt/x' file='/etc/shadow'/></sysinfo>", 'the host path "/etc/shadow"'),
        ("<memoryBacking><source path='/x'/></memoryBacking>", 'the host path "/x"'),
        (f"<qemu:commandline {QEMU}><qemu:arg value='-x'/></qemu:commandline>", 'the element "commandline"'),
        (f"<x><metadata><qemu:commandline {QEMU}/></metadata></x>", 'the element "commandline"'),
        ("<x><description>/etc/shadow</description></x>", 'the host path "/etc/shadow"'),
    ],
)
def test_a_part_of_the_host_beside_the_devices_is_found(more: str, found: str) -> None:
    assert any(found in one for one in foreign(more=more))


def test_firmware_that_the_distribution_brings_may_be_named() -> None:
    more = "<x><loader readonly='yes'>/usr/share/OVMF/OVMF_CODE.fd</loader></x>"
    assert foreign(more=more) == []


def test_what_people_write_for_people_is_not_foreign() -> None:
    more = "<title>/etc</title><description>see /etc/x</description><metadata><a:b xmlns:a='urn:a'>/x</a:b></metadata>"
    assert foreign(more=more) == []


def test_a_device_alone_is_judged_as_in_a_vm() -> None:
    device = DISK.format("file", "file='/etc/shadow'")
    assert 'the disk source "/etc/shadow"' in foreign_parts(domain.parse_device(device))
