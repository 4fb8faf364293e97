"""This machine, from what libvirt and the system say of it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping

from lxml import etree

from pvc.hypervisor.base import Facts
from pvc.hypervisor.domaintype import caveat


def facts(
    hostname: str,
    domain_type: tuple[str, str],
    info: tuple[str, int, int, int, int, int, int, int],
    memory_kib: Mapping[str, int],
    versions: tuple[int, int],
    qemu_user: tuple[int, int] | None,
) -> Facts:
    """domain_type: with the reason. info, memory_kib: as libvirt's calls give them. versions: of libvirt and QEMU."""
    free_kib = memory_kib.get("free", 0) + memory_kib.get("buffers", 0) + memory_kib.get("cached", 0)
    return Facts(
        hostname=hostname,
        domain_type=domain_type[0],
        reason=f"{domain_type[1]} {caveat(domain_type[0], versions[1])}".rstrip(),
        arch=info[0],
        os=_os_name(),
        kernel=platform.release(),
        cpu_count=info[2],
        memory_total=memory_kib.get("total", 0) * 1024,
        memory_free=free_kib * 1024,
        load=os.getloadavg()[0],
        libvirt_version=_version(versions[0]),
        qemu_version=_version(versions[1]),
        qemu_user=qemu_user,
    )


def guest_types(capabilities: str) -> set[str]:
    """The domain types that libvirt offers for this machine's own architecture."""
    root = etree.fromstring(capabilities.encode())
    arch = root.findtext("host/cpu/arch")
    nodes = root.iterfind("guest/arch")
    return {kind.get("type", "") for node in nodes if node.get("name") == arch for kind in node.iterfind("domain")}


def qemu_user(capabilities: str) -> tuple[int, int] | None:
    """uid and gid that libvirt starts QEMU as; None where it does not say, because it changes nobody's owner."""
    label = etree.fromstring(capabilities.encode()).findtext("host/secmodel[model='dac']/baselabel") or ""
    ids = re.fullmatch(r"\+(\d+):\+(\d+)", label.strip())
    return (int(ids[1]), int(ids[2])) if ids else None


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
