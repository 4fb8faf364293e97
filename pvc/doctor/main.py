"""The whole examination of this machine, for the daemons that are to run on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from pathlib import Path

from pvc import config
from pvc.config import Config, ConfigProblems
from pvc.doctor import checks, reaching, zookeeper
from pvc.doctor.deadline import Check, examined
from pvc.doctor.findings import Finding, ok, warning, wrong
from pvc.doctor.machine import Machine


def examine(roles: Set[str], path: Path | None, machine: Machine | None = None) -> Iterator[Finding]:
    """Yield each finding as soon as it is there, for no check waits long.

    roles: of "serve" and "agent". path: the configuration, as `config.load` takes it. With a configuration that cannot
    be used, the rest is judged by the default one.
    """
    machine = machine or Machine()
    settings, findings = read(path)
    yield from findings
    if settings.standalone and "serve" in roles:
        roles = {*roles, "agent"}
    for check in (*_here(machine, settings, roles), *_around(machine, settings, roles)):
        yield from examined(check)


def read(path: Path | None) -> tuple[Config, list[Finding]]:
    name = path or os.environ.get("PVC_CONFIG") or config.DEFAULT_PATH
    try:
        settings = config.load(path)
    except ConfigProblems as exc:
        found = [wrong("configuration", problem, f"editor {name}") for problem in exc.problems]
        return Config(), [*found, warning("configuration", "What follows is judged by the defaults instead.")]
    where = f'"{name}" can be used.' if Path(name).exists() else f'There is no "{name}": the defaults hold.'
    return settings, [ok("configuration", where)]


def here(machine: Machine, settings: Config, roles: Set[str]) -> list[Finding]:
    return [finding for check in _here(machine, settings, roles) for finding in check.findings]


def _here(machine: Machine, settings: Config, roles: Set[str]) -> Iterator[Check]:
    yield Check("root", checks.root(machine))
    yield Check("programs", checks.programs(machine, sorted(roles, reverse=True)))
    if "serve" in roles:
        yield Check("namespaces", checks.namespaces(machine))
    if "agent" in roles:
        yield Check("kvm", checks.virtualisation(machine))
        yield Check("post-copy", checks.post_copy(machine, settings))
    if "agent" in roles:
        yield Check("host name", checks.own_name(machine), silent="No name server answers")
    yield Check("clock", checks.clock(machine))
    yield Check("space", checks.space(machine, settings))
    yield Check("files", checks.files(machine, settings))
    yield Check("ceph.conf", checks.ceph_files(machine, settings))
    yield Check("pools", checks.pools(settings))
    yield Check("zookeeper", zookeeper.configuration(machine, settings))
    yield Check("addresses", checks.addresses(machine, settings, roles))


def _around(machine: Machine, settings: Config, roles: Set[str]) -> Iterator[Check]:
    if "agent" in roles:
        yield reaching.libvirt(machine, settings)
        yield reaching.migration(machine, settings)
        yield reaching.agent(machine, settings)
    yield reaching.store(machine, settings)
    yield reaching.ceph(settings)
