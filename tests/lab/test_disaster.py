"""ZooKeeper is gone, with everything in it: what a backup and running guests are enough for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import guest
from tests.lab.guests import goes_on, is_tick, until
from tests.lab.invariants import running
from tests.lab.lab import NODES, Lab
from tests.lab.mending import until_well
from tests.machine.shell import Shell
from tests.parts.daemon import Daemon, at_once

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(400)]

# Without a disk: there at once, and no load.
PLAIN = "<domain><name>{}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu></domain>"
PLAIN_VMS = [f"plain{number}" for number in range(10)]
COUNTING = {"count1": "hv1", "count2": "hv2"}


@pytest.fixture
def twelve(lab: Lab) -> list[str]:
    """Twelve VMs that run on three nodes, two of which count; and one that is off."""
    lab.shell.do("network", "add", "100", "-d", "lan", "-b", "vmbr0")
    for number, name in enumerate(PLAIN_VMS):
        lab.shell.define(PLAIN.format(name), node=list(NODES)[number % 3])
    for name, node in COUNTING.items():
        lab.shell.make_vm(name, guest.build().raw, node=node)
    lab.shell.define(PLAIN.format("off"), node="hv1")
    every = [*PLAIN_VMS, *COUNTING]
    for name in every:
        lab.shell.do("vm", "start", name)
    for name in COUNTING:
        lab.shell.hear(name, is_tick)
    lab.shell.do("vm", "tag", "add", "count1", "kept", "-p")
    return every


def processes(lab: Lab) -> dict[str, dict[str, int]]:
    return {name: node.libvirtd.guests() for name, node in lab.nodes.items()}


def saved(file: Path) -> dict[str, Any]:
    """All but where and when it was taken."""
    return {name: value for name, value in json.loads(file.read_text()).items() if name != "taken"}


def lose_zookeeper(lab: Lab) -> None:
    """And put new servers in its place, which know nothing."""
    for server in lab.zookeepers:
        server.kill()
    for server in lab.zookeepers:
        shutil.rmtree(server.folder / "data" / "version-2")
    at_once(Daemon.start, lab.zookeepers)
    until_joined(lab)


def until_joined(lab: Lab) -> None:
    """Every agent has looked, and calls its guests strays."""
    until(lambda: all(states(server.shell) == ["run"] * 3 for server in lab.servers))


def states(shell: Shell) -> list[str]:
    said = shell.run("node", "list", "-f", "json")
    return [node["daemon_state"] for node in json.loads(said.out)] if said.code == 0 else []


def test_a_backup_brings_the_cluster_back_under_guests_that_never_stopped(lab: Lab, twelve: list[str]) -> None:
    before, where = processes(lab), running(lab)
    assert len(where) == len(twelve) == 12
    first, second = lab.folder / "first.json", lab.folder / "second.json"
    lab.shell.do("task", "backup", "-f", str(first))

    lose_zookeeper(lab)
    assert lab.shell.ask("vm", "list") == []
    lab.shell.do("task", "init", "-y")
    until_joined(lab)
    said = lab.shell.do("task", "restore", "-f", str(first), "--dry-run")
    assert "+ vm count1" in said and "In the way" not in said, said
    lab.shell.do("task", "restore", "-f", str(first), "-y")
    until_well(lab)

    assert processes(lab) == before
    assert running(lab) == where
    for server in lab.servers:
        shown = {one["name"]: one["power"] for one in server.shell.ask("vm", "list")}
        assert shown == {**dict.fromkeys(twelve, "running"), "off": "off"}
    for name, node in COUNTING.items():
        goes_on(lab.nodes[node], lab.shell.vm(name)["uuid"])
    lab.shell.do("task", "backup", "-f", str(second))
    assert saved(second) == saved(first)

    lab.shell.do("vm", "stop", "plain0")
    assert lab.shell.vm("plain0")["power"] == "off"
    assert {name for found in processes(lab).values() for name in found} == set(twelve) - {"plain0"}
