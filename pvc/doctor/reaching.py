"""The checks that speak to what pvc needs: libvirt, ZooKeeper, Ceph."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from pvc.cephconfig import RBDPool
from pvc.config import DEFAULT_PATH, Config, ConfigProblems
from pvc.doctor.checks import ceph_users
from pvc.doctor.deadline import Check
from pvc.doctor.findings import Finding, ok, warning, wrong
from pvc.doctor.machine import Machine
from pvc.errors import NotPermitted, PVCError
from pvc.hypervisor import certificates
from pvc.hypervisor.base import Facts, in_the_clear

VIRTLOGD = "/run/libvirt/virtlogd-sock"
_QEMU_CONF = "/etc/libvirt/qemu.conf"
_FILE_HANDLER = re.compile(r'^\s*stdio_handler\s*=\s*"file"', re.MULTILINE)


def libvirt(machine: Machine, config: Config) -> Check:
    silent = f'libvirt takes the connection to "{config.hypervisor.uri}" and does not answer'
    return Check("libvirt", _libvirt(machine, config), silent, _log(machine))


def _log(machine: Machine) -> str:
    return "journalctl -u libvirtd" if machine.has_systemd() else "tail /var/log/libvirt/libvirtd.log"


def _libvirt(machine: Machine, config: Config) -> Iterator[Finding]:
    uri = config.hypervisor.uri
    try:
        facts = asyncio.run(_facts(config))
    except ImportError as exc:
        yield wrong("libvirt", f"libvirt's library cannot be loaded: {exc}", "apt-get install libvirt-daemon-system")
    except PVCError as exc:
        there = machine.has_program("libvirtd") or machine.has_program("virtqemud")
        start = "systemctl enable --now libvirtd" if machine.has_systemd() else "virtlogd -d; libvirtd -d"
        mend = start if there else "apt-get install libvirt-daemon-system"
        yield wrong("libvirt", f'"{uri}" does not answer: {exc}', mend)
    else:
        yield from judge_libvirt(facts, uri, alone=config.standalone)
        yield from virtlogd(machine, uri)


def virtlogd(machine: Machine, uri: str) -> Iterator[Finding]:
    """libvirt answers without it, and starts no guest. Another address may be of a libvirt with other folders."""
    if uri != "qemu:///system" or machine.exists(VIRTLOGD) or _FILE_HANDLER.search(machine.text(_QEMU_CONF)):
        return
    start = "systemctl enable --now virtlogd.socket" if machine.has_systemd() else "virtlogd -d"
    yield wrong("virtlogd", f'No virtlogd listens at "{VIRTLOGD}": libvirt starts no guest without it.', start)


async def _facts(config: Config, address: str = "") -> Facts:
    """address: where libvirt must be reached, too, as another node would."""
    from pvc.hypervisor.libvirt import LibvirtHypervisor

    hypervisor = LibvirtHypervisor(config.hypervisor.uri, config.hypervisor.domain_type)
    try:
        facts = await hypervisor.facts()
        if address:
            await hypervisor.check_address(address)
        return facts
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


def migration(machine: Machine, config: Config) -> Check:
    uri = config.hypervisor.migration_uri
    return Check("migration", _migration(machine, config), f'libvirt does not answer at "{uri}"', _log(machine))


def _migration(machine: Machine, config: Config) -> Iterator[Finding]:
    uri = config.hypervisor.migration_uri
    if config.standalone:
        return
    if not uri:
        text = "No hypervisor.migration_uri is set: no guest comes here live."
        yield warning("migration", text, f"editor {os.environ.get('PVC_CONFIG') or DEFAULT_PATH}")
        return
    folder = Path(config.hypervisor.migration_certificates)
    if not in_the_clear(uri) and (problem := certificates.problem(folder, None)):
        yield wrong("migration", f"QEMU cannot move guests encrypted: {problem}.", f"ls -l {folder}")
        return
    try:
        facts = asyncio.run(_facts(config, uri))
    except (ImportError, PVCError) as exc:
        listen = "libvirtd-tcp.socket" if in_the_clear(uri) else "libvirtd-tls.socket"
        start = f"systemctl enable --now {listen}" if machine.has_systemd() else "libvirtd -d --listen"
        yield wrong("migration", f'Guests cannot come here live at "{uri}": {exc}', start)
        return
    yield _by_qemus_user(facts, folder, uri)


def _by_qemus_user(facts: Facts, folder: Path, uri: str) -> Finding:
    if in_the_clear(uri):
        return warning("migration", f'Guests come here live at "{uri}", in the clear.')
    if problem := certificates.problem(folder, facts.qemu_user):
        return wrong("migration", f"{problem}.", f"chgrp libvirt-qemu {folder}/*-key.pem; chmod 640 {folder}/*-key.pem")
    return ok("migration", f'Guests come here live at "{uri}", encrypted.')


def agent(machine: Machine, config: Config) -> Check:
    return Check("agent", _agent(machine, config))


def _agent(machine: Machine, config: Config) -> Iterator[Finding]:
    """Alone, pvc serve is the agent."""
    listen = config.agent.listen
    if config.standalone or not listen:
        return
    if machine.answers(*_host_port(listen)):
        yield ok("agent", f'pvc agent listens at "{listen}".')
    else:
        mend = "systemctl enable --now pvc-agent" if machine.has_systemd() else "pvc agent 2>pvc-agent.log &"
        yield wrong("agent", f'No pvc agent listens at "{listen}".', mend)


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def store(machine: Machine, config: Config) -> Check:
    silent = f"ZooKeeper does not answer at {', '.join(config.store.hosts)}"
    return Check("store", _store(machine, config), silent, _ask(config), patience_s=8)


def _ask(config: Config) -> str:
    """A shell's own words: Debian's ZooKeeper answers this one to everybody, and not every machine has nc."""
    if not config.store.hosts:
        return ""
    host, port = _host_port(config.store.hosts[0])
    return f"bash -c 'exec 3<>/dev/tcp/{host}/{port} && echo srvr >&3 && cat <&3'"


def _store(machine: Machine, config: Config) -> Iterator[Finding]:
    """ZooKeeper is asked; the embedded store is a file that is made where it is not."""
    if config.standalone:
        yield ok("store", f'The cluster is this machine alone, its records are in "{config.store.path}".')
        return
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)  # what it says of each try, the sentence below says once
    try:
        asyncio.run(_open_store(config))
    except ConfigProblems as exc:
        if not _bad_files(machine, config):
            yield wrong("store", f"ZooKeeper cannot be used: {exc}", "pvc serve --show-config")
    except NotPermitted as exc:
        yield wrong("store", f"ZooKeeper cannot be used: {exc}")  # it answers, and its refusal says what to do
    except PVCError as exc:
        yield wrong("store", f"ZooKeeper cannot be used: {exc}", _ask(config))
    else:
        yield ok("store", f"ZooKeeper answers at {', '.join(config.store.hosts)}.")


def _bad_files(machine: Machine, config: Config) -> bool:
    """Whether what keeps the store from being opened is found by `checks.files` already."""
    store = config.store
    named = (store.password_file, store.tls_ca, store.tls_certificate, store.tls_key)
    if any(machine.problem_reading(path) for path in named if path):
        return True
    return bool(store.password_file) and machine.is_open_to_others(store.password_file)


async def _open_store(config: Config) -> None:
    from pvc.store.source import open_source

    async with AsyncExitStack() as stack:
        source = await open_source(config.store)
        stack.push_async_callback(source.aclose)
        session = await source.session()
        stack.push_async_callback(session.aclose)


def ceph(config: Config) -> Check:
    users = ceph_users(config)
    mend = f"ceph --id {users[0].user} --conf {users[0].conf} status" if users else ""
    return Check("ceph", _ceph(config, mend), "Ceph does not answer", mend, patience_s=10)


def _ceph(config: Config, mend: str) -> Iterator[Finding]:
    if not ceph_users(config):
        return
    try:
        names = ", ".join(f'"{name}"' for name in asyncio.run(_ceph_pools(config))) or "none"
    except PVCError as exc:
        yield wrong("ceph", str(exc), mend)
    else:
        yield ok("ceph", f"Ceph answers; its pools are {names}.")


async def _ceph_pools(config: Config) -> list[str]:
    from pvc.storage.pools import open_pools

    pools = {name: pool for name, pool in config.pools.items() if isinstance(pool, RBDPool)}
    opened = await open_pools(pools, config.ceph)
    try:
        return list(opened)
    finally:
        await opened.aclose()
