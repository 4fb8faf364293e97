"""The checks that speak to what pvc needs: libvirt, ZooKeeper, Ceph. Each gives up within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

from pvc.cephconfig import RBDPool
from pvc.config import Config, ConfigProblems
from pvc.doctor.checks import ceph_users
from pvc.doctor.findings import Finding, ok, warning, wrong
from pvc.doctor.machine import Machine
from pvc.errors import PVCError
from pvc.hypervisor.base import Facts

_PATIENCE_S = 15.0


async def libvirt(machine: Machine, config: Config) -> list[Finding]:
    uri = config.hypervisor.uri
    try:
        from pvc.hypervisor.libvirt import LibvirtHypervisor
    except ImportError as exc:
        return [wrong("libvirt", f"libvirt's library cannot be loaded: {exc}", "apt-get install libvirt-daemon-system")]
    hypervisor = LibvirtHypervisor(uri, config.hypervisor.domain_type)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return list(judge_libvirt(await hypervisor.facts(), uri, alone=config.standalone))
    except (PVCError, TimeoutError) as exc:
        there = machine.has_program("libvirtd") or machine.has_program("virtqemud")
        mend = "systemctl enable --now libvirtd" if there else "apt-get install libvirt-daemon-system"
        return [wrong("libvirt", f'"{uri}" does not answer: {exc or f"nothing within {_PATIENCE_S:.0f} s"}', mend)]
    finally:
        await hypervisor.aclose()


def judge_libvirt(facts: Facts, uri: str, *, alone: bool) -> Iterator[Finding]:
    """Guests of a machine alone never migrate."""
    yield ok("libvirt", f'libvirt {facts.libvirt_version} answers at "{uri}".')
    old = facts.domain_type == "qemu" and int(facts.qemu_version.partition(".")[0]) < 9
    if old and not alone:
        text = f"QEMU {facts.qemu_version} may damage the memory of emulated guests that migrate live."
        yield warning("qemu", text, "pvc vm meta VM -m shutdown")
    else:
        yield ok("qemu", f"QEMU {facts.qemu_version}: {facts.reason}")


async def store(config: Config) -> list[Finding]:
    """ZooKeeper is asked; the embedded store is a file that is made where it is not."""
    if config.standalone:
        return [ok("store", f'The cluster is this machine alone, its records are in "{config.store.path}".')]
    from pvc.store.source import open_source

    hosts = ", ".join(config.store.hosts)
    try:
        async with asyncio.timeout(_PATIENCE_S), AsyncExitStack() as stack:
            source = await open_source(config.store)
            stack.push_async_callback(source.aclose)
            session = await source.session()
            stack.push_async_callback(session.aclose)
    except (PVCError, ConfigProblems, TimeoutError) as exc:
        text = f"ZooKeeper cannot be used: {exc or f'nothing within {_PATIENCE_S:.0f} s'}"
        return [wrong("store", text, f"echo ruok | nc {config.store.hosts[0].replace(':', ' ')}")]
    return [ok("store", f"ZooKeeper answers at {hosts}.")]


async def ceph(config: Config) -> list[Finding]:
    users = ceph_users(config)
    if not users:
        return []
    from pvc.storage.pools import open_pools

    try:
        pools = {name: pool for name, pool in config.pools.items() if isinstance(pool, RBDPool)}
        opened = await open_pools(pools, config.ceph)
        names = ", ".join(f'"{name}"' for name in opened) or "none"
        await opened.aclose()
    except PVCError as exc:
        return [wrong("ceph", str(exc), f"ceph --id {users[0].user} --conf {users[0].conf} status")]
    return [ok("ceph", f"Ceph answers; its pools are {names}.")]
