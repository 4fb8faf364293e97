"""What goes wrong around a migration and around a flush, on real hypervisors: afterwards each guest runs once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import guest
from tests.lab import faults
from tests.lab.guests import SPARE, until
from tests.lab.invariants import running
from tests.lab.lab import Lab
from tests.lab.test_migration import NIC, ended, tick, told

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.fixture
def roamer(lab: Lab) -> str:
    """The UUID of "web", which runs on hv1."""
    lab.shell.do("network", "add", "100", "-d", "lan", "-b", "vmbr0")
    lab.shell.make_vm("web", guest.build().qcow2, node="hv1", more=NIC)
    lab.shell.do("vm", "start", "web")
    lab.shell.hear("web", lambda line: tick(line) >= 1)
    return str(lab.shell.vm("web")["uuid"])


@pytest.fixture
def slow(lab: Lab, roamer: str) -> Iterator[str]:
    """As `roamer`, and what leaves hv1 takes some ten seconds."""
    with told(lab.nodes["hv1"], "", "[migration]\nbandwidth_mib = 8"):
        yield roamer


@pytest.fixture
def brisk(lab: Lab, roamer: str) -> Iterator[str]:
    """As `slow`, a few seconds."""
    with told(lab.nodes["hv1"], "", "[migration]\nbandwidth_mib = 24"):
        yield roamer


def many(lab: Lab, count: int) -> dict[str, str]:
    """Guests without an operating system, on hv1; name by UUID."""
    for number in range(count):
        lab.shell.define(SPARE.replace("spare", f"vm{number}"), node="hv1")
        lab.shell.do("vm", "start", f"vm{number}")
    return {one["uuid"]: one["name"] for one in lab.shell.ask("vm", "list")}


def test_a_flush_goes_on_when_its_agent_was_killed_and_ready_brings_all_home(lab: Lab, brisk: str) -> None:
    lab.shell.define(SPARE.replace("spare", "still"), node="hv1")
    vms = many(lab, 5)
    plan = lab.shell.ask("node", "flush", "hv1", "--plan")
    assert (len(plan["moves"]), plan["stays"]) == (7, [])
    task = lab.shell.ask("node", "flush", "hv1", "--no-wait")["task"]
    until(lambda: lab.shell.vm("web")["state"] == "migrate")
    with faults.killed(lab.nodes["hv1"].agent):
        assert lab.shell.ask("task", "show", task)["status"] == "running"
    shown = ended(lab, task)
    assert (shown["status"], shown["figures"]) == ("done", {"moved": 7, "stayed": 0}), shown
    assert lab.shell.ask("node", "list", "hv1")[0]["domain_state"] == "flushed"
    targets = {move["uuid"]: move["node"] for move in plan["moves"]}
    awake = until(lambda: settled(lab, len(vms) - 1))
    assert awake == {uuid: [targets[uuid]] for uuid in awake}
    assert lab.shell.vm("still")["state"] == "stop"
    lab.shell.do("node", "ready", "hv1")
    assert {one["node"] for one in lab.shell.ask("vm", "list")} == {"hv1"}
    assert until(lambda: settled(lab, len(vms) - 1)) == {uuid: ["hv1"] for uuid in awake}


def settled(lab: Lab, count: int) -> dict[str, Any]:
    """Where guests run, once so many do and none of them on two nodes: libvirt removes what is left a moment later."""
    found = running(lab)
    return found if len(found) == count and all(len(nodes) == 1 for nodes in found.values()) else {}
