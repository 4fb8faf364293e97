"""libvirt XML as users write it."""

from __future__ import annotations

from collections.abc import Sequence


def disk(volume: str, dev: str = "vda") -> str:
    pool, _, name = volume.partition("/")
    source = f"<source pool='{pool}' volume='{name}'/>"
    return f"<disk type='volume' device='disk'>{source}<target dev='{dev}' bus='virtio'/></disk>"


def nic(mac: str = "", bridge: str = "vmbr100") -> str:
    address = f"<mac address='{mac}'/>" if mac else ""
    return f"<interface type='bridge'>{address}<source bridge='{bridge}'/><model type='virtio'/></interface>"


def vm(name: str = "web1", *, uuid: str = "", devices: Sequence[str] = (), more: str = "") -> str:
    said = f"<uuid>{uuid}</uuid>" if uuid else ""
    inside = "".join(devices)
    return (
        f"<domain type='kvm'><name>{name}</name>{said}<memory unit='MiB'>64</memory><vcpu>1</vcpu>"
        f"<os><type arch='x86_64' machine='q35'>hvm</type></os>{more}<devices>{inside}</devices></domain>"
    )
