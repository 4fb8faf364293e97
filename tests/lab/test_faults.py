"""Each fault does what it says, and afterwards all is well: guests go on and none runs twice."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests import guest
from tests.lab import faults
from tests.lab.guests import goes_on, is_tick
from tests.lab.host import Host
from tests.lab.invariants import no_vm_runs_twice, running
from tests.lab.lab import Lab
from tests.lab.mending import until_well
from tests.parts.daemon import Daemon
from tests.parts.zookeeper import ZooKeeper

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(180)]

TWIN = """<domain type='qemu'><name>twin</name><uuid>9d2c7a4e-3b1f-4d0a-8e55-6f0c1b2a3d4e</uuid>
  <memory unit='MiB'>32</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""


@pytest.fixture
def vm(lab: Lab) -> str:
    """The UUID of "web", which runs on hv2."""
    lab.shell.make_vm("web", guest.build().qcow2, node="hv2")
    lab.shell.do("vm", "start", "web")
    lab.shell.hear("web", is_tick)
    return str(lab.shell.vm("web")["uuid"])


def test_a_guest_goes_on_whatever_else_ends_and_it_never_runs_twice(lab: Lab, vm: str) -> None:
    node = lab.nodes["hv2"]
    before = node.libvirtd.guests()
    for fault in (faults.stopped, faults.killed):
        for daemon in (node.agent, node.libvirtd, lab.servers[0].serve, lab.zookeepers[0]):
            with fault(daemon):
                assert not daemon.is_running
                assert running(lab) == {vm: ["hv2"]}
            no_vm_runs_twice(lab)
    until_well(lab)
    assert node.libvirtd.guests() == before
    goes_on(node, vm)


def test_a_vm_that_runs_on_two_nodes_is_noticed(lab: Lab) -> None:
    for node in ("hv1", "hv3"):
        create = ["virsh", "--connect", lab.nodes[node].libvirtd.uri, "create", "/dev/stdin"]
        subprocess.run(create, check=True, input=TWIN, text=True, capture_output=True)
    with pytest.raises(AssertionError, match=r"hv1.*hv3"):
        no_vm_runs_twice(lab)
    with faults.killed(lab.nodes["hv3"].libvirtd), pytest.raises(AssertionError, match=r"hv1.*hv3"):
        no_vm_runs_twice(lab)
    for node in ("hv1", "hv3"):
        lab.nodes[node].libvirtd.kill_guest("twin")  # a node with a guest that pvc does not know is not well


def test_what_is_frozen_does_not_run_and_then_goes_on(lab: Lab) -> None:
    frozen: list[Daemon] = [*lab.above, *lab.below]
    with faults.frozen(*frozen):
        assert [daemon.name for daemon in frozen if not is_still(daemon)] == []
    until_well(lab)


def is_still(daemon: Daemon) -> bool:
    return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads(daemon))


def threads(daemon: Daemon) -> list[Path]:
    return list(Path(f"/proc/{daemon.pid}/task").glob("*/stat"))


def test_a_machine_that_is_cut_off_reaches_nobody_until_its_cable_is_back(lab: Lab) -> None:
    server, host, other = lab.zookeepers[0], lab.nodes["hv1"].host, lab.nodes["hv2"].host
    with faults.cut_off(host):
        assert not reaches(host, server, within_s=1)
        assert reaches(other, server)
    assert reaches(host, server)


def reaches(host: Host, server: ZooKeeper, within_s: float = 30) -> bool:
    try:
        with host.network(), socket.create_connection((server.host, server.port), timeout=within_s):
            return True
    except OSError:
        return False


def test_a_full_pool_is_said_so_and_takes_content_again_when_there_is_room(lab: Lab) -> None:
    shell = lab.shell
    shell.do("storage", "volume", "add", "vms", "late", "48M")
    upload = ("storage", "volume", "upload", "vms", "late", str(guest.build().raw))
    with faults.full(lab.ceph):
        said = shell.run(*upload)
        assert (said.code, "space" in said.err) == (4, True), said.err
    shell.do(*upload)
