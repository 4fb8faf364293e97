"""Puts a lab back as it was before a test: everything runs, no VM, no volume and no network is left."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.lab.lab import Lab
from tests.machine.shell import Shell
from tests.parts.daemon import Daemon, at_once

_WELL_S = 60.0


def mend(lab: Lab) -> None:
    repair(lab)
    _remove_all(lab.shell)
    for node in lab.nodes.values():
        node.libvirtd.kill_guests()


def repair(lab: Lab) -> None:
    """Have everything run; VMs and volumes stay."""
    for host in lab.hosts.values():
        host.mend()
    at_once(Daemon.mend, lab.below)
    at_once(Daemon.mend, lab.above)
    until_well(lab)


def until_well(lab: Lab) -> None:
    """Return when each server shows every node alive and without a problem."""
    end = time.monotonic() + _WELL_S
    for server in lab.servers:
        while not _is_well(seen := _nodes(server.shell)):
            if time.monotonic() > end:
                raise AssertionError(f"The cluster is not well: {seen}")


def _is_well(nodes: list[dict[str, Any]]) -> bool:
    return len(nodes) == 3 and all(node["daemon_state"] == "run" and not node["problem"] for node in nodes)


def _nodes(shell: Shell) -> list[dict[str, Any]]:
    """None while the server cannot say."""
    said = shell.run("node", "list", "-f", "json")
    return list(json.loads(said.out)) if said.code == 0 else []


def _remove_all(shell: Shell) -> None:
    for vm in shell.ask("vm", "list"):
        shell.do("vm", "undefine", vm["name"], "-y")
    for snapshot in shell.ask("storage", "snapshot", "list"):
        shell.run("storage", "snapshot", "remove", snapshot["pool"], snapshot["volume"], snapshot["snapshot"], "-y")
    _remove_volumes(shell)
    for network in shell.ask("network", "list"):
        shell.do("network", "remove", str(network["vni"]), "-y")


def _remove_volumes(shell: Shell) -> None:
    """Ceph takes half a minute to give up a QEMU that died without a word and had a volume open."""
    end = time.monotonic() + _WELL_S
    while volumes := shell.ask("storage", "volume", "list"):
        said = [shell.run("storage", "volume", "remove", one["pool"], one["name"], "-y").err for one in volumes]
        if time.monotonic() > end:
            raise AssertionError(f"Volumes stay: {said}")
