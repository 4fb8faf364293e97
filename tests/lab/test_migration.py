"""Guests go from node to node on real hypervisors, and whatever fails meanwhile, each of them runs once."""

from __future__ import annotations

import re

import pytest

from tests import guest
from tests.lab.invariants import running
from tests.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(240)]

NIC = "<interface type='bridge'><source bridge='vmbr0'/><model type='virtio'/></interface>"


def tick(line: str) -> int:
    """The number that the guest counts; -1 for another line."""
    found = re.match(r"tick (\d+) ", line)
    return int(found[1]) if found else -1


def counted(lab: Lab, node: str, uuid: str) -> list[int]:
    """What the guest counted on that node, which its disk tells without pvc."""
    log = lab.nodes[node].host.folder / "consoles" / f"{uuid}.log"
    return [tick(line) for line in log.read_text(errors="replace").splitlines() if tick(line) >= 0]


@pytest.fixture
def web(lab: Lab) -> str:
    """The UUID of "web", which runs on hv1."""
    lab.shell.do("network", "add", "100", "-d", "lan", "-b", "vmbr0")
    lab.shell.make_vm("web", guest.build().qcow2, node="hv1", more=NIC)
    lab.shell.do("vm", "start", "web")
    lab.shell.hear("web", lambda line: tick(line) >= 1)
    return str(lab.shell.vm("web")["uuid"])


def test_a_guest_goes_live_to_another_node_and_back_home_and_counts_on(lab: Lab, web: str) -> None:
    first, second = (server.shell for server in lab.servers)
    said = first.do("vm", "migrate", "web", "-t", "hv2")
    assert re.fullmatch(r'Migrated VM "web" to node "hv2" in [\d.]+ s; it stood still for \d+ ms\.\n', said), said
    shown = second.vm("web")
    assert (shown["node"], shown["last_node"], shown["state"]) == ("hv2", "hv1", "start")
    assert running(lab) == {web: ["hv2"]}
    before = counted(lab, "hv1", web)
    second.hear("web", lambda line: tick(line) > before[-1] + 1)
    there = counted(lab, "hv2", web)
    assert there[0] in (before[-1], before[-1] + 1), (before, there)
    assert second.run("vm", "migrate", "web").code == 4
    second.do("vm", "unmigrate", "web")
    shown = first.vm("web")
    assert (shown["node"], shown["last_node"], shown["migrated"]) == ("hv1", "", "no")
    assert running(lab) == {web: ["hv1"]}
    first.hear("web", lambda line: tick(line) > there[-1] + 1)
    assert 0 not in counted(lab, "hv1", web)[len(before) :], "it was not restarted"
