"""VMs on every node, through either server."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import guest
from tests.lab.guests import is_tick
from tests.lab.invariants import no_vm_runs_twice, running
from tests.lab.lab import NODES, Lab
from tests.parts.place import call

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(180)]

NIC = "<interface type='bridge'><source bridge='vmbr0'/><model type='virtio'/></interface>"


def test_every_node_is_listed_through_each_server(lab: Lab) -> None:
    for server in lab.servers:
        shown = server.shell.ask("node", "list")
        assert [(node["name"], node["daemon_state"]) for node in shown] == [(name, "run") for name in NODES]
        assert server.shell.ask("status")["cluster_health"] == {"health": 100, "messages": []}


def test_each_nodes_libvirt_answers_the_other_nodes_and_is_its_own(lab: Lab, tmp_path: Path) -> None:
    for asking in lab.nodes.values():
        for asked, address in NODES.items():
            log = tmp_path / f"{asking.name}-{asked}"
            call(asking.host, ["virsh", "--connect", f"qemu+tcp://{address}/system", "hostname"], log)
            assert log.read_text().split() == [asked]


def test_a_vm_defined_through_one_server_boots_on_its_node_and_is_seen_through_the_other(lab: Lab) -> None:
    first, second = (server.shell for server in lab.servers)
    first.do("network", "add", "1", "-d", "lan", "-b", "vmbr0")
    first.make_vm("web", guest.build().qcow2, node="hv3", more=NIC)
    uuid, mac = second.vm("web")["uuid"], second.vm("web")["networks"][0]["mac"]
    first.do("vm", "start", "web")
    assert f"disks=vda:48M nics=eth0:{mac}" in second.hear("web", is_tick)
    assert (second.vm("web")["state"], second.vm("web")["node"]) == ("start", "hv3")
    assert running(lab) == {uuid: ["hv3"]}
    second.do("vm", "shutdown", "web")
    assert first.vm("web")["state"] == "stop"
    assert running(lab) == {}


def test_vms_of_all_nodes_start_restart_and_stop_at_the_same_time(lab: Lab) -> None:
    first, second = (server.shell for server in lab.servers)
    names = dict(zip(("one", "two", "three"), NODES, strict=True))

    def each(act: Callable[[str], object]) -> None:
        with ThreadPoolExecutor(len(names)) as threads:
            list(threads.map(act, names))

    each(lambda name: first.make_vm(name, guest.build().qcow2, node=names[name]))
    each(lambda name: second.do("vm", "start", name))
    each(lambda name: first.hear(name, is_tick))
    assert sorted(running(lab).values()) == [[node] for node in NODES]
    each(lambda name: first.do("vm", "restart", name))
    no_vm_runs_twice(lab)
    each(lambda name: second.do("vm", "stop", name))
    assert running(lab) == {}
    assert [vm["state"] for vm in first.ask("vm", "list")] == ["stop"] * 3


def test_volumes_and_nics_come_and_go_in_a_running_guest_of_another_node_than_the_first(lab: Lab) -> None:
    first, second = (server.shell for server in lab.servers)
    first.do("network", "add", "100", "-d", "lan", "-b", "vmbr1")
    first.make_vm("plugged", guest.build().qcow2, node="hv2")
    first.do("vm", "start", "plugged")
    first.hear("plugged", is_tick)
    first.do("storage", "volume", "add", "vms", "data", "64M")
    second.do("vm", "volume", "add", "plugged", "vms/data")
    first.hear("plugged", lambda line: "disks=vda:48M,vdb:64M" in line)
    second.do("vm", "network", "add", "plugged", "lan")
    [nic] = first.vm("plugged")["networks"]
    second.hear("plugged", lambda line: f"nics=eth0:{nic['mac']}" in line)
    first.do("vm", "network", "remove", "plugged", "lan")
    second.do("vm", "volume", "remove", "plugged", "vms/data")
    first.hear("plugged", lambda line: bool(re.search(r"disks=vda:48M nics=$", line)))
