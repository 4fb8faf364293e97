"""Guests go from node to node on real hypervisors, and whatever fails meanwhile, each of them runs once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests import guest
from tests.lab import faults
from tests.lab.invariants import running
from tests.lab.lab import NODES, Lab, Node
from tests.parts.place import call

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(240)]

NARROW = "[migration]\nbandwidth_mib = 2"
NIC = "<interface type='bridge'><source bridge='vmbr0'/><model type='virtio'/></interface>"


def tick(line: str) -> int:
    """The number that the guest counts; -1 for another line."""
    found = re.match(r"tick (\d+) ", line)
    return int(found[1]) if found else -1


def counted(lab: Lab, node: str, uuid: str) -> list[int]:
    """What the guest counted on that node, which its disk tells without pvc."""
    log = lab.nodes[node].host.folder / "consoles" / f"{uuid}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [tick(line) for line in lines if tick(line) >= 0]


@pytest.fixture
def wanderer(lab: Lab) -> str:
    """The UUID of "web", which runs on hv1."""
    lab.shell.do("network", "add", "100", "-d", "lan", "-b", "vmbr0")
    lab.shell.make_vm("web", guest.build().qcow2, node="hv1", more=NIC)
    lab.shell.do("vm", "start", "web")
    lab.shell.hear("web", lambda line: tick(line) >= 1)
    return str(lab.shell.vm("web")["uuid"])


def test_a_guest_goes_live_to_another_node_and_back_home_and_counts_on(lab: Lab, wanderer: str) -> None:
    first, second = (server.shell for server in lab.servers)
    said = first.do("vm", "migrate", "web", "-t", "hv2")
    assert re.fullmatch(r'Migrated VM "web" to node "hv2" in [\d.]+ s; it stood still for \d+ ms\.\n', said), said
    shown = second.vm("web")
    assert (shown["node"], shown["last_node"], shown["state"]) == ("hv2", "hv1", "start")
    assert running(lab) == {wanderer: ["hv2"]}
    before = counted(lab, "hv1", wanderer)
    second.hear("web", lambda line: tick(line) > before[-1] + 1)
    there = counted(lab, "hv2", wanderer)
    assert there[0] in (before[-1], before[-1] + 1), (before, there)
    assert second.run("vm", "migrate", "web").code == 4
    second.do("vm", "unmigrate", "web")
    shown = first.vm("web")
    assert (shown["node"], shown["last_node"], shown["migrated"]) == ("hv1", "", "no")
    assert running(lab) == {wanderer: ["hv1"]}
    first.hear("web", lambda line: tick(line) > there[-1] + 1)
    assert 0 not in counted(lab, "hv1", wanderer)[len(before) :], "it was not restarted"


@contextmanager
def told(node: Node, old: str, new: str) -> Iterator[None]:
    """The node's agent has other words in its configuration meanwhile; with "" for `old`, some more."""
    config = node.agent.config
    before = config.read_text()
    config.write_text(before.replace(old, new) if old else f"{before}\n{new}\n")
    node.agent.restart()
    try:
        yield
    finally:
        config.write_text(before)
        node.agent.kill()
        node.agent.start()


@pytest.fixture
def slow(lab: Lab, wanderer: str) -> Iterator[str]:
    """As `wanderer`, and what leaves hv1 takes half a minute, or until it is let go."""
    with told(lab.nodes["hv1"], "", NARROW):
        yield wanderer


def let_go(lab: Lab, uuid: str) -> None:
    """Have the copy of a guest that leaves hv1 use all of the network from now on; nothing where it has left."""
    if uuid in virsh(lab.nodes["hv1"], "list", "--uuid"):
        virsh(lab.nodes["hv1"], "migrate-setspeed", uuid, "1000")


def begun(lab: Lab, *words: str) -> str:
    """The task of a migration whose copy is under way."""
    task = str(lab.shell.ask("vm", "migrate", "web", "-t", "hv2", "--no-wait", *words)["task"])
    while not copying(lab, task):
        pass
    return task


def copying(lab: Lab, task: str) -> bool:
    """Whether it tells how much is left; "" has not begun."""
    if not task:
        return False
    shown = lab.shell.ask("task", "show", task)
    assert shown["status"] == "running", shown
    return bool(shown["figures"].get("bytes_left"))


def ended(lab: Lab, task: str) -> dict[str, Any]:
    """The task at its end, however that is."""
    lab.shell.run("task", "wait", task)
    shown: dict[str, Any] = lab.shell.ask("task", "show", task)
    assert shown["status"] != "running", shown
    return shown


def no_guest_is_awake_twice(lab: Lab) -> None:
    """While a guest moves both libvirts have it, one of them paused."""
    awake = [
        uuid
        for node in lab.nodes.values()
        if node.libvirtd.answers
        for uuid in virsh(node, "list", "--state-running", "--uuid")
    ]
    assert len(awake) == len(set(awake)), awake


def virsh(node: Node, *words: str) -> list[str]:
    done = subprocess.run(
        ["virsh", "--connect", node.libvirtd.uri, *words], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.split()


def is_on(lab: Lab, node: str, uuid: str) -> None:
    """The VM is there by its record, runs there alone, counts on without a restart, and nobody holds it."""
    shown = lab.shell.vm("web")
    assert (shown["node"], shown["state"], shown["task"]) == (node, "start", "")
    while running(lab) != {uuid: [node]}:  # libvirt removes what is left a moment later
        no_guest_is_awake_twice(lab)
    last = max(counted(lab, node, uuid), default=-1)
    try:
        lab.shell.hear("web", lambda line: tick(line) > last)
    except AssertionError as exc:
        exc.add_note(f"{virsh(lab.nodes[node], 'domstate', uuid, '--reason')} {last} {counted(lab, node, uuid)}")
        raise
    every = [count for name in NODES for count in counted(lab, name, uuid)]
    assert every.count(1) == 1, "it was not started a second time"


def test_a_forced_live_migration_has_a_state_of_its_own_and_says_how_far_it_is(lab: Lab, slow: str) -> None:
    task = begun(lab, "--force-live")
    assert lab.shell.vm("web")["state"] == "migrate-live"
    figures = lab.shell.ask("task", "show", task)["figures"]
    assert figures["bytes_left"] > 0
    assert figures["elapsed_ms"] > 0
    let_go(lab, slow)
    shown = ended(lab, task)
    assert 0 < shown["figures"]["downtime_ms"] < shown["figures"]["total_ms"]
    is_on(lab, "hv2", slow)


def test_a_cancelled_one_leaves_the_guest_where_it_was(lab: Lab, slow: str) -> None:
    task = begun(lab)
    assert lab.shell.vm("web")["state"] == "migrate"
    assert lab.shell.run("vm", "migrate", "web", "-t", "hv3").code == 4
    lab.shell.do("task", "cancel", task)
    shown = ended(lab, task)
    assert (shown["status"], shown["problem"]["code"]) == ("cancelled", "cancelled")
    is_on(lab, "hv1", slow)
    assert lab.shell.run("task", "cancel", task).code == 4


def test_a_guest_asked_to_stop_meanwhile_stops(lab: Lab, slow: str) -> None:
    task = begun(lab)
    lab.shell.do("vm", "stop", "web")
    assert ended(lab, task)["status"] == "failed"
    shown = lab.shell.vm("web")
    assert (shown["node"], shown["state"]) == ("hv1", "stop")
    assert running(lab) == {}


def test_the_shutdown_method_ends_the_guest_and_starts_it_on_the_target(lab: Lab, wanderer: str) -> None:
    lab.shell.do("vm", "meta", "web", "--method", "shutdown")
    refused = lab.shell.run("vm", "migrate", "web", "-t", "hv2", "--force-live")
    assert (refused.code, "contradicts" in refused.err) == (4, True), refused.err
    assert "Shut down" in lab.shell.do("vm", "migrate", "web", "-t", "hv2")
    lab.shell.hear("web", lambda line: tick(line) >= 1)
    assert running(lab) == {wanderer: ["hv2"]}
    assert counted(lab, "hv2", wanderer)[0] <= 1


@pytest.mark.parametrize("method", ["none", "live", "shutdown"])
def test_a_target_without_the_bridge_is_refused_before_anything_happens(lab: Lab, wanderer: str, method: str) -> None:
    lab.shell.do("vm", "meta", "web", "--method", method)
    host = lab.nodes["hv2"].host
    call(host, ["ip", "link", "delete", "vmbr0"], host.folder / "ip.log")
    try:
        refused = lab.shell.run("vm", "migrate", "web", "-t", "hv2")
        assert (refused.code, 'no bridge "vmbr0"' in refused.err) == (4, True), refused.err
        is_on(lab, "hv1", wanderer)
    finally:
        call(host, ["ip", "link", "add", "vmbr0", "type", "bridge"], host.folder / "ip.log")
        call(host, ["ip", "link", "set", "vmbr0", "up"], host.folder / "ip.log")


@pytest.mark.parametrize("method", ["none", "live"])
def test_a_live_migration_that_fails_is_followed_by_a_shutdown_only_where_that_may_be(
    lab: Lab, wanderer: str, method: str
) -> None:
    lab.shell.do("vm", "meta", "web", "--method", method)
    with told(lab.nodes["hv2"], "qemu+tcp://10.99.0.2/system", "qemu+tcp://10.99.0.2:1/system"):
        said = lab.shell.run("vm", "migrate", "web", "-t", "hv2")
        if method == "live":
            assert (said.code, "unable to connect" in said.err) == (7, True), said.err
            is_on(lab, "hv1", wanderer)
        else:
            assert "live it did not: " in said.out, said
            lab.shell.hear("web", lambda line: tick(line) >= 1)
            assert running(lab) == {wanderer: ["hv2"]}


def test_the_source_agent_killed_in_the_middle_finds_the_copy_again(lab: Lab, slow: str) -> None:
    task = begun(lab)
    with faults.killed(lab.nodes["hv1"].agent):
        pass
    no_guest_is_awake_twice(lab)
    let_go(lab, slow)
    assert ended(lab, task)["status"] == "done"
    is_on(lab, "hv2", slow)


def test_the_target_takes_the_guest_over_when_the_source_agent_is_dead(lab: Lab, slow: str) -> None:
    task = begun(lab)
    with faults.killed(lab.nodes["hv1"].agent):
        let_go(lab, slow)
        assert ended(lab, task)["status"] == "done"
        is_on(lab, "hv2", slow)
    is_on(lab, "hv2", slow)


def test_the_source_hands_the_guest_over_when_the_target_agent_is_dead(lab: Lab, slow: str) -> None:
    task = begun(lab)
    with faults.killed(lab.nodes["hv2"].agent):
        let_go(lab, slow)
        assert ended(lab, task)["status"] == "done"
    is_on(lab, "hv2", slow)


def test_both_agents_killed_in_the_middle_find_the_guest_where_it_came(lab: Lab, slow: str) -> None:
    task = begun(lab)
    with faults.killed(lab.nodes["hv1"].agent, lab.nodes["hv2"].agent):
        let_go(lab, slow)
        while running(lab) != {slow: ["hv2"]}:
            pass
    assert ended(lab, task)["status"] == "done"
    is_on(lab, "hv2", slow)


@pytest.mark.parametrize("victim", ["hv1", "hv2"])
def test_a_libvirtd_killed_in_the_middle_leaves_one_guest_and_no_lock(lab: Lab, slow: str, victim: str) -> None:
    task = begun(lab, "--force-live")
    with faults.killed(lab.nodes[victim].libvirtd):
        pass
    no_guest_is_awake_twice(lab)
    let_go(lab, slow)
    shown = ended(lab, task)
    is_on(lab, "hv2" if shown["status"] == "done" else "hv1", slow)


def test_a_target_that_is_cut_off_in_the_middle_leaves_the_guest_where_it_was(lab: Lab, slow: str) -> None:
    task = begun(lab, "--force-live")
    with faults.cut_off(lab.nodes["hv2"].host):
        assert ended(lab, task)["status"] == "failed"
        shown = lab.shell.vm("web")
        assert (shown["node"], shown["state"]) == ("hv1", "start")
    is_on(lab, "hv1", slow)


def test_a_vm_that_is_off_goes_without_a_start_and_comes_home(lab: Lab, wanderer: str) -> None:
    lab.shell.do("vm", "stop", "web")
    lab.shell.do("vm", "move", "web", "-t", "hv3")
    assert (lab.shell.vm("web")["node"], lab.shell.vm("web")["last_node"]) == ("hv3", "")
    lab.shell.do("vm", "migrate", "web", "-t", "hv2")
    assert lab.shell.vm("web")["migrated"] == "from hv3"
    lab.shell.do("vm", "unmigrate", "web")
    assert (lab.shell.vm("web")["node"], lab.shell.vm("web")["state"]) == ("hv3", "stop")
    assert running(lab) == {}
