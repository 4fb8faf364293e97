"""What goes wrong around a migration and around a flush, on real hypervisors: afterwards each guest runs once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import guest
from tests.lab import faults
from tests.lab.guests import SPARE, until
from tests.lab.invariants import running
from tests.lab.lab import Lab, Node
from tests.lab.test_migration import (
    NARROW,
    NIC,
    begun,
    copying,
    ended,
    is_on,
    let_go,
    no_guest_is_awake_twice,
    tick,
    told,
    virsh,
)

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
    """As `roamer`, and what leaves hv1 takes half a minute, or until it is let go."""
    with told(lab.nodes["hv1"], "", NARROW):
        yield roamer


def many(lab: Lab, count: int) -> dict[str, str]:
    """Guests without an operating system, on hv1; name by UUID."""
    for number in range(count):
        lab.shell.define(SPARE.replace("spare", f"vm{number}"), node="hv1")
        lab.shell.do("vm", "start", f"vm{number}")
    return {one["uuid"]: one["name"] for one in lab.shell.ask("vm", "list")}


def test_a_flush_goes_on_when_its_agent_was_killed_and_ready_brings_all_home(lab: Lab, slow: str) -> None:
    lab.shell.define(SPARE.replace("spare", "still"), node="hv1")
    vms = many(lab, 3)
    plan = lab.shell.ask("node", "flush", "hv1", "--plan")
    assert (len(plan["moves"]), plan["stays"]) == (5, [])
    task = lab.shell.ask("node", "flush", "hv1", "--no-wait")["task"]
    until(lambda: copying(lab, lab.shell.vm("web")["task"]))
    with faults.killed(lab.nodes["hv1"].agent):
        let_go(lab, slow)
        assert lab.shell.ask("task", "show", task)["status"] == "running"
    shown = ended(lab, task)
    assert (shown["status"], shown["figures"]) == ("done", {"moved": 5, "stayed": 0}), shown
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


def test_a_store_that_is_away_during_the_copy_does_not_hold_it_up(lab: Lab, slow: str) -> None:
    task = begun(lab)
    with faults.killed(*lab.zookeepers[:2]):
        let_go(lab, slow)
        until(lambda: running(lab) == {slow: ["hv2"]})
        no_guest_is_awake_twice(lab)
    until(lambda: lab.shell.run("vm", "list").code == 0)
    assert ended(lab, task)["status"] == "done"
    is_on(lab, "hv2", slow)


def test_a_source_that_is_cut_off_during_the_copy_has_the_guest_or_has_given_it(lab: Lab, slow: str) -> None:
    task = begun(lab)
    with faults.cut_off(lab.nodes["hv1"].host):
        until(lambda: lab.shell.ask("node", "list", "hv1")[0]["daemon_state"] == "dead")
        no_guest_is_awake_twice(lab)
    let_go(lab, slow)
    shown = ended(lab, task)
    is_on(lab, "hv2" if shown["status"] == "done" else "hv1", slow)


def die(node: Node) -> None:
    """As by a power cut."""
    node.host.cut()
    node.agent.kill()
    node.libvirtd.kill()
    node.libvirtd.kill_guests()


def come_back(node: Node) -> None:
    node.host.mend()
    node.libvirtd.start()
    node.agent.start()


def test_a_target_that_dies_before_the_hand_over_leaves_the_guest_where_it_was(lab: Lab, slow: str) -> None:
    task = begun(lab, "--force-live")
    die(lab.nodes["hv2"])
    shown = ended(lab, task)
    assert (shown["status"], lab.shell.vm("web")["node"]) == ("failed", "hv1"), shown
    is_on(lab, "hv1", slow)


def test_a_target_that_dies_after_the_hand_over_keeps_the_vm_which_starts_there_again(lab: Lab, roamer: str) -> None:
    lab.shell.do("vm", "migrate", "web", "-t", "hv2")
    die(lab.nodes["hv2"])
    until(lambda: lab.shell.ask("node", "list", "hv2")[0]["daemon_state"] == "dead")
    assert running(lab) == {}
    assert lab.shell.vm("web")["node"] == "hv2"
    come_back(lab.nodes["hv2"])
    until(lambda: running(lab) == {roamer: ["hv2"]})
    lab.shell.hear("web", lambda line: tick(line) == 1)


def test_a_device_is_not_plugged_into_a_guest_on_its_way(lab: Lab, slow: str) -> None:
    task = begun(lab)
    said = lab.shell.run("vm", "network", "add", "web", "100")
    assert (said.code, f'is busy with task "{task}"' in said.err) == (4, True), said
    let_go(lab, slow)
    assert ended(lab, task)["status"] == "done"
    is_on(lab, "hv2", slow)
    lab.shell.do("vm", "network", "add", "web", "100")
    lab.shell.hear("web", lambda line: tick(line) >= 0 and line.count("eth") == 2)


def test_a_guest_that_gets_a_device_is_not_moved_until_it_has_it(lab: Lab, roamer: str) -> None:
    with ThreadPoolExecutor() as threads:
        with lab.nodes["hv1"].libvirtd.frozen():
            plugging = threads.submit(lab.shell.run, "vm", "network", "add", "web", "100")
            until(lambda: lab.shell.vm("web")["task"])
            said = lab.shell.run("vm", "migrate", "web", "-t", "hv2")
            assert (said.code, "is busy with task" in said.err) == (4, True), said
        assert plugging.result().code == 0, plugging.result()
    lab.shell.do("vm", "migrate", "web", "-t", "hv2")
    is_on(lab, "hv2", roamer)
    lab.shell.hear("web", lambda line: tick(line) >= 0 and line.count("eth") == 2)


def test_of_two_migrations_that_are_asked_for_at_once_there_is_one(lab: Lab, roamer: str) -> None:
    asked = [(server.shell, node) for server, node in zip(lab.servers, ("hv2", "hv3"), strict=True)]
    with ThreadPoolExecutor() as threads:
        said = list(threads.map(lambda one: one[0].run("vm", "migrate", "web", "-t", one[1]), asked))
    assert sorted(one.code for one in said) == [0, 4], said
    is_on(lab, "hv2" if said[0].code == 0 else "hv3", roamer)


def test_a_target_that_lost_its_secret_for_ceph_gets_it_again(lab: Lab, roamer: str) -> None:
    lab.shell.do("vm", "migrate", "web", "-t", "hv2")
    lab.shell.do("vm", "unmigrate", "web")
    secrets = [uuid for uuid, usage in pairwise(virsh(lab.nodes["hv2"], "secret-list")) if usage == "ceph"]
    assert secrets
    for secret in secrets:
        virsh(lab.nodes["hv2"], "secret-undefine", secret)
    lab.shell.do("vm", "migrate", "web", "-t", "hv2", "--force-live")
    is_on(lab, "hv2", roamer)


IMPATIENT = """[migration]
bandwidth_mib = 16
max_downtime_ms = 20
stall_s = 0.5
patience_s = {patience_s}
auto_converge = {auto_converge}
post_copy = {post_copy}"""


SLOWING = """[migration]
bandwidth_mib = 32
max_downtime_ms = 100
patience_s = 60"""


@pytest.fixture
def churner(lab: Lab) -> str:
    """The UUID of "web", which changes its memory faster than it may be copied."""
    lab.shell.make_vm("web", guest.build(dirty=24).qcow2, node="hv1")
    lab.shell.do("vm", "start", "web")
    lab.shell.hear("web", lambda line: tick(line) >= 1)
    return str(lab.shell.vm("web")["uuid"])


@pytest.mark.parametrize("method", ["live", "none", "shutdown"])
def test_a_guest_that_outruns_the_copy_stays_or_is_shut_down_by_its_method(lab: Lab, churner: str, method: str) -> None:
    lab.shell.do("vm", "meta", "web", "--method", method)
    with told(lab.nodes["hv1"], "", IMPATIENT.format(patience_s=2, auto_converge="false", post_copy="false")):
        said = lab.shell.run("vm", "migrate", "web", "-t", "hv2")
    if method == "live":
        assert (said.code, "changes its memory faster than it can be copied" in said.err) == (7, True), said
        is_on(lab, "hv1", churner)
        return
    assert ("live it did not: the guest changes its memory faster" in said.out) is (method == "none"), said
    lab.shell.hear("web", lambda line: tick(line) >= 1)
    assert running(lab) == {churner: ["hv2"]}


def test_a_guest_that_outruns_the_copy_is_slowed_down_where_that_may_be(lab: Lab, churner: str) -> None:
    with told(lab.nodes["hv1"], "", SLOWING):
        lab.shell.do("vm", "migrate", "web", "-t", "hv2", "--force-live")
    is_on(lab, "hv2", churner)


@pytest.mark.skipif(
    not Path("/proc/sys/vm/unprivileged_userfaultfd").exists(), reason="The kernel has no userfaultfd for post-copy."
)
def test_a_guest_that_outruns_the_copy_goes_on_at_the_target_where_that_may_be(lab: Lab, churner: str) -> None:
    with told(lab.nodes["hv1"], "", IMPATIENT.format(patience_s=2, auto_converge="false", post_copy="true")):
        task = lab.shell.ask("vm", "migrate", "web", "-t", "hv2", "--force-live", "--no-wait")["task"]
        assert ended(lab, task)["status"] == "done"
    told_so = f"Migration {task} stalls; the guest goes on at the target before its memory is there"
    assert told_so in lab.nodes["hv1"].agent.log.read_text()
    is_on(lab, "hv2", churner)
