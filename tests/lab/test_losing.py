"""Something is lost for a while: guests go on, requests are refused in a sentence, and all comes right by itself.

One guest, "web" on hv2, lives through all of it. Whether a cluster works again is asked with "spare", which is soon
up. The lab's session timeout is 6 s, Ceph's patience with dead clients 10 s, and pvc's with Ceph 8 s; what
must last longer than one of these lasts until somebody is seen to have noticed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests import guest
from tests.lab import faults
from tests.lab.guests import HOME, goes_on, joined, refusal, refused, taken, unharmed, until
from tests.lab.invariants import running
from tests.lab.lab import Lab, Node
from tests.lab.mending import until_well
from tests.parts.zookeeper import ZooKeeper

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(100)]


def leader_and_follower(lab: Lab) -> tuple[ZooKeeper, ZooKeeper]:
    roles = {server.role(): server for server in lab.zookeepers}
    return roles["leader"], roles["follower"]


def test_one_zookeeper_server_of_three_is_not_missed_and_no_session_is_lost(lab: Lab, node: Node, web: str) -> None:
    sessions = [joined(other) for other in lab.nodes.values()]
    for server in leader_and_follower(lab):
        with unharmed(lab, node, web), faults.killed(server):
            for api in lab.servers:
                taken(api.shell, "vm", "tag", "add", "spare", "kept")
                taken(api.shell, "vm", "tag", "remove", "spare", "kept")
    assert [joined(other) for other in lab.nodes.values()] == sessions


def test_without_zookeeper_guests_go_on_and_afterwards_every_session_is_new(lab: Lab, node: Node, web: str) -> None:
    sessions = {name: joined(other) for name, other in lab.nodes.items()}
    losses = {name: lost_sessions(other) for name, other in lab.nodes.items()}
    with unharmed(lab, node, web):
        with faults.killed(*lab.zookeepers):
            for server in lab.servers:
                assert "cluster store" in refused(server.shell, "vm", "list")
                refused(server.shell, "vm", "start", "spare")
            until(lambda: all(lost_sessions(other) > losses[name] for name, other in lab.nodes.items()))
            goes_on(node, web)
            assert running(lab) == {web: [HOME]}
        until_well(lab)
        assert {name: joined(other) - 1 for name, other in lab.nodes.items()} == sessions


def lost_sessions(node: Node) -> int:
    return node.agent.log.read_text().count("ZooKeeper was away for 6 s")


def states(lab: Lab) -> list[str]:
    """Of the node, as each server has it."""
    return [server.shell.ask("node", "info", HOME)["daemon_state"] for server in lab.servers]


def test_an_agent_that_was_frozen_acts_on_what_holds_when_it_thaws(lab: Lab, node: Node, web: str) -> None:
    with ThreadPoolExecutor(1) as threads, unharmed(lab, node, web):
        lab.shell.do("vm", "start", "spare")
        with faults.frozen(node.agent):
            until(lambda: states(lab) == ["dead", "dead"])
            assert "not available" in refusal(lab.shell.run("vm", "restart", "spare"))
            stopped = threads.submit(lab.shell.do, "vm", "stop", "spare")
            until(lambda: lab.servers[1].shell.vm("spare")["state"] == "stop")
            assert lab.servers[1].shell.vm("spare")["power"] == "unknown"
            node.libvirtd.kill_guest("spare")  # which ought to run, for all that the agent knows
        stopped.result()
        until_well(lab)
        assert lab.shell.vm("spare")["power"] == "off"
        assert running(lab) == {web: [HOME]}


def test_a_node_that_was_cut_off_is_in_doubt_and_comes_back_with_its_guests(lab: Lab, node: Node, web: str) -> None:
    with unharmed(lab, node, web):
        with faults.cut_off(node.host):
            until(lambda: states(lab) == ["dead", "dead"])
            for server in lab.servers:
                shown = server.shell.vm("web")
                assert (shown["power"], "does not answer" in shown["doubt"]) == ("unknown", True)
                refused(server.shell, "vm", "start", "spare")
            goes_on(node, web)
            assert running(lab) == {web: [HOME]}
        until_well(lab)
        assert lab.shell.vm("web")["power"] == "running"


def test_a_host_that_dies_is_in_doubt_and_starts_its_guests_when_it_is_back(lab: Lab, node: Node, web: str) -> None:
    node.agent.kill()
    node.libvirtd.kill()
    node.libvirtd.kill_guests()
    until(lambda: states(lab) == ["dead", "dead"])
    for server in lab.servers:
        assert (server.shell.vm("web")["power"], refusal(server.shell.run("vm", "restart", "web")) != "") == (
            "unknown",
            True,
        )
    assert running(lab) == {}
    node.libvirtd.start()
    node.agent.start()
    until(lambda: node.libvirtd.guests().get("web"))
    with unharmed(lab, node, web):
        until_well(lab)


def test_without_libvirtd_nothing_is_taken_to_have_ended(lab: Lab, node: Node, web: str) -> None:
    with unharmed(lab, node, web):
        node.libvirtd.restart()
        until_well(lab)
        with faults.stopped(node.libvirtd):
            until(lambda: lab.shell.ask("node", "info", HOME)["problem"])
            for server in lab.servers:
                shown = server.shell.vm("web")
                assert (shown["state"], shown["power"]) == ("start", "unknown")
                assert "cannot tell whether the VM runs" in shown["doubt"]
                refused(server.shell, "vm", "start", "spare")
            goes_on(node, web)
            assert running(lab) == {web: [HOME]}


def test_an_agent_killed_during_a_start_starts_the_vm_once(lab: Lab, node: Node, web: str) -> None:
    lab.shell.make_vm("brief", guest.build().raw, node=HOME)
    with unharmed(lab, node, web), ThreadPoolExecutor(1) as threads:
        started = threads.submit(lab.shell.do, "vm", "start", "brief")
        with still(until(lambda: node.libvirtd.guests().get("brief", 0))):
            node.agent.kill()
        node.agent.start()
        started.result()
        assert running(lab) == {web: [HOME], lab.shell.vm("brief")["uuid"]: [HOME]}
        lab.shell.do("vm", "remove", "brief", "-y")


def test_an_agent_killed_during_a_hot_attach_finishes_it(lab: Lab, node: Node, web: str) -> None:
    lab.shell.do("storage", "volume", "add", "vms", "data", "64M")
    log, began = node.agent.log, node.agent.log.read_text().count('VM "web": run task')
    with unharmed(lab, node, web), ThreadPoolExecutor(1) as threads:
        with still(node.libvirtd.guests()["web"]):
            attached = threads.submit(lab.shell.do, "vm", "volume", "add", "web", "vms/data")
            until(lambda: log.read_text().count('VM "web": run task') > began)
            node.agent.kill()
        node.agent.start()
        attached.result()
        lab.shell.hear("web", lambda line: "disks=vda:48M,vdb:64M" in line)
        assert [disk["name"] for disk in lab.shell.vm("web")["disks"]] == ["vms/web", "vms/data"]
        lab.shell.do("vm", "volume", "remove", "web", "vms/data")
        lab.shell.do("storage", "volume", "remove", "vms", "data", "-y")


@contextmanager
def still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
