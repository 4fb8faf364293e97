"""The whole examination of this machine, for the daemons that are to run on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Set
from pathlib import Path

from pvc import config
from pvc.config import Config, ConfigProblems
from pvc.doctor import checks, reaching
from pvc.doctor.findings import Finding, ok, wrong
from pvc.doctor.machine import Machine


def examine(roles: Set[str], path: Path | None, machine: Machine | None = None) -> list[Finding]:
    """roles: of "serve" and "agent". path: the configuration, as `config.load` takes it.

    With a configuration that cannot be used, the rest is judged by the default one.
    """
    machine = machine or Machine()
    settings, findings = read(path)
    if settings.standalone and "serve" in roles:
        roles = {*roles, "agent"}
    findings += here(machine, settings, roles)
    return findings + asyncio.run(_around(machine, settings, roles))


def read(path: Path | None) -> tuple[Config, list[Finding]]:
    name = path or os.environ.get("PVC_CONFIG") or config.DEFAULT_PATH
    try:
        settings = config.load(path)
    except ConfigProblems as exc:
        return Config(), [wrong("configuration", problem, f"editor {name}") for problem in exc.problems]
    where = f'"{name}" can be used.' if Path(name).exists() else f'There is no "{name}": the defaults hold.'
    return settings, [ok("configuration", where)]


def here(machine: Machine, settings: Config, roles: Set[str]) -> list[Finding]:
    return [*_here(machine, settings, roles)]


def _here(machine: Machine, settings: Config, roles: Set[str]) -> Iterator[Finding]:
    yield from checks.root(machine)
    yield from checks.programs(machine, sorted(roles, reverse=True))
    if "serve" in roles:
        yield from checks.namespaces(machine)
    if "agent" in roles:
        yield from checks.virtualisation(machine)
        yield from checks.post_copy(machine, settings)
    yield from checks.clock(machine)
    yield from checks.space(machine, settings)
    yield from checks.files(machine, settings)
    yield from checks.ceph_files(machine, settings)
    yield from checks.addresses(machine, settings, roles)


async def _around(machine: Machine, settings: Config, roles: Set[str]) -> list[Finding]:
    found = await reaching.libvirt(machine, settings) if "agent" in roles else []
    return [*found, *await reaching.store(settings), *await reaching.ceph(settings)]
