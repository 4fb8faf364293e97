"""Nodes, and what their guests use, as clients see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from pvc.cluster import nodes
from pvc.model.noding import Signs
from pvc.model.records import (
    DaemonState,
    DomainState,
    Node,
    NodeStatus,
    Observed,
    Power,
    Waiting,
    encode,
)
from pvc.server.nodeview import node_object
from pvc.store.base import Create, Put
from pvc.units import GIB
from tests.parts import documents
from tests.unit.server.site import NODE, Site

MAC = "52:54:00:00:00:01"
SHAPE = {
    *("name", "daemon_state", "coordinator_state", "domain_state", "pvc_version", "cpu_count", "kernel", "os", "arch"),
    *("health", "health_plugins", "health_details", "load", "domains_count", "running_domains", "vcpu", "memory"),
}
RUNS = NodeStatus(
    daemon=DaemonState.RUN,
    looked_at=1000.7,
    os="Debian GNU/Linux 12 (bookworm)",
    cpu_count=4,
    memory_total=8 * GIB,
    memory_free=6 * GIB,
    memory_reserve=GIB,
    load=5.004,
    libvirt_version="9.0.0",
)


def shown(status: NodeStatus = RUNS, *, alive: bool = True, waiting: Waiting | None = None) -> dict[str, Any]:
    node = Node(name=NODE, machine="one")
    return node_object(Signs(node=node, alive=alive, waiting=waiting, status=status), [])


async def record(site: Site, node: Node) -> None:
    await site.state.store.commit(Create(site.state.paths.node(node.name), encode(node)))


def test_a_node_has_the_established_shape_and_is_well() -> None:
    node = shown()
    assert set(node) >= SHAPE
    assert (node["health"], node["problem"], node["daemon_state"]) == (100, "", "run")
    assert (node["os"], node["load"]) == ("Debian GNU/Linux 12 (bookworm)", 5.0)
    assert node["memory"] == {
        "total": 8192,
        "allocated": 0,
        "provisioned": 0,
        "used": 2048,
        "free": 6144,
        "reserve": 1024,
    }
    assert node["health_plugins"] == [detail["name"] for detail in node["health_details"]]
    load = next(detail for detail in node["health_details"] if detail["name"] == "load")
    assert load == {
        "name": "load",
        "last_run": 1000,
        "health_delta": 0,
        "message": "The load is 5.00 on 4 CPUs.",
        "data": {"load": 5.0, "cpus": 4},
    }


@pytest.mark.parametrize(
    ("more", "health", "plugin", "message"),
    [
        ({"problem": "no libvirtd"}, 0, "hypervisor", "no libvirtd"),
        ({"strays": ("old", "odd")}, 90, "strays", "Domains run here that pvc does not know: old, odd."),
        ({"use_problem": "It hangs."}, 90, "statistics", "It hangs."),
        (
            {"encrypted": True, "no_live": "has no key"},
            90,
            "migration",
            "No guest can come here live: the node has no key.",
        ),
        ({"daemon": DaemonState.STOP}, 0, "agent", "Its agent was ended in order"),
        ({"daemon": DaemonState.INIT}, 0, "agent", "Its agent is starting"),
        ({"daemon": DaemonState.SHUTDOWN}, 0, "agent", "Its agent is ending"),
    ],
)
def test_what_is_wrong_is_told_by_the_check_that_found_it(
    more: dict[str, Any], health: int, plugin: str, message: str
) -> None:
    node = shown(changed(RUNS, **more))
    [wrong] = [detail for detail in node["health_details"] if detail["health_delta"]]
    assert (node["health"], wrong["name"]) == (health, plugin)
    assert wrong["message"].startswith(message)
    assert node["problem"] == wrong["message"]


def test_a_dead_node_says_that_what_it_shows_is_old() -> None:
    node = shown(alive=False)
    assert (node["daemon_state"], node["health"], node["cpu_count"]) == ("dead", 0, 4)
    assert node["problem"] == (
        "Its agent does not answer, and did not end in order; what else is shown is the last that it said."
    )


def test_a_second_agent_of_the_name_is_a_problem_of_the_node() -> None:
    node = shown(waiting=Waiting(machine="two", reason="it must"))
    assert (node["daemon_state"], node["health"]) == ("run", 50)
    assert node["problem"] == 'An agent on machine "two" has this name too, and waits because it must.'


async def test_running_vms_are_counted_by_what_they_were_given(site: Site) -> None:
    await site.running("web1")
    await site.define("web2")
    [node] = (await site.ask("GET", "/node")).body
    assert (node["domains_count"], node["running_domains"]) == (1, ["web1"])
    assert node["vcpu"] == {"total": 4, "allocated": 1}
    assert (node["memory"]["allocated"], node["memory"]["provisioned"]) == (64, 128)
    assert (node["os"], node["kernel"], node["libvirt_version"], node["qemu_version"]) == (
        "Fake 1",
        "6.1",
        "9.0.0",
        "7.2.0",
    )


async def test_parts_of_a_node_can_be_asked_for(site: Site) -> None:
    for part, word in (("daemon", "run"), ("coordinator", "hypervisor"), ("domain", "ready")):
        assert (await site.ask("GET", f"/node/{NODE}/{part}-state")).body == {"name": NODE, f"{part}_state": word}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["hv1", "hv2", "hv3"]),
        ({"limit": "hv[12]"}, ["hv1", "hv2"]),
        ({"daemon_state": "run"}, ["hv1"]),
        ({"daemon_state": "dead"}, ["hv2", "hv3"]),
        ({"domain_state": "flushed"}, ["hv3"]),
        ({"daemon_state": "run", "domain_state": "flushed"}, ["hv1", "hv3"]),
        ({"daemon_state": "run", "domain_state": "flushed", "limit": "3"}, ["hv3"]),
        ({"coordinator_state": "hypervisor"}, ["hv1", "hv2", "hv3"]),
        ({"coordinator_state": "primary"}, []),
    ],
)
async def test_nodes_are_listed_by_any_of_their_states(site: Site, given: dict[str, str], names: list[str]) -> None:
    await record(site, Node(name="hv3", domain_state=DomainState.FLUSHED))
    await record(site, Node(name="hv2"))
    assert [node["name"] for node in (await site.ask("GET", "/node", given)).body] == names


async def test_a_node_that_left_is_removed_and_one_that_did_not_is_not(site: Site) -> None:
    answer = await site.ask("DELETE", f"/node/{NODE}")
    assert (answer.status, answer.message) == (409, 'Node "hv1" is alive: end its agent first.')
    await record(site, Node(name="hv2"))
    answer = await site.ask("DELETE", "/node/hv2")
    assert (answer.status, answer.message) == (200, 'Removed node "hv2" from the cluster.')
    assert [node["name"] for node in (await site.ask("GET", "/node")).body] == [NODE]


async def test_a_vm_that_fits_nowhere_is_refused_and_each_node_says_why(site: Site) -> None:
    await record(site, Node(name="hv2"))
    xml = documents.vm("big").replace(">64<", ">4097<")
    answer = await site.ask("POST", "/vm", json={"xml": xml})
    assert (answer.status, answer.code) == (409, "no_room")
    assert answer.message == 'VM "big" fits no node: hv1: needs 4097 MiB, 4096 MiB free; hv2: is dead.'
    assert (await site.ask("GET", "/vm")).body == []
    assert (await site.ask("POST", "/vm", json={"xml": xml, "node": NODE})).status == 200


async def test_a_vm_goes_by_its_selector(site: Site) -> None:
    second = replace(site.state)
    await nodes.join(second, Node(name="hv2"))
    await nodes.publish(second, "hv2", changed(RUNS, load=0.1, memory_total=2 * GIB, memory_free=2 * GIB))
    for selector, node in (("load", "hv2"), ("mem", NODE), ("none", NODE)):
        given = {"xml": documents.vm(f"by-{selector}"), "selector": selector}
        uuid = (await site.ask("POST", "/vm", json=given)).body["uuid"]
        assert (await site.state.vm(uuid)).record.node == node


async def test_what_a_guest_uses_is_shown_with_what_it_has(bare: Site, tmp_path: Path) -> None:
    """A node speaks for itself here: what it says is what is shown."""
    await nodes.join(bare.state, Node(name=NODE))
    await nodes.publish(bare.state, NODE, RUNS)
    await bare.pool.create("disk0", 1 << 20)
    await bare.ask("POST", "/network", {"vni": 100, "description": "lan", "nettype": "bridged"})
    uuid = await bare.define(
        "web1", documents.disk("local/disk0"), documents.nic(MAC), "<graphics type='vnc' port='-1'/>"
    )
    [off] = (await bare.ask("GET", "/vm/web1")).body
    assert (off["memory_stats"], off["vcpu_stats"]) == ({}, {})
    assert off["vnc"] == {"listen": "", "port": ""}
    assert "rd_bytes" not in off["networks"][0]
    seen = Observed(power=Power.RUNNING, console="pty", vnc=("127.0.0.1", "5903"))
    path = bare.state.paths.node_status(NODE)
    said = b"""{"daemon":"run","vms":{"%s":%s},"use":{"%s":[[1,2,null,4,5,6,7,8,9,10],[11,12,13],
        {"%s":[1,2,3,4,5,6,7,8]},{"vda":[1,2,3,4]}]}}""" % (uuid.encode(), encode(seen), uuid.encode(), MAC.encode())
    await bare.state.store.commit(Put(path, said, (await bare.state.store.get(path)).version))
    [on] = (await bare.ask("GET", "/vm/web1")).body
    assert (await bare.ask("GET", "/vm")).body == [on]
    assert on["memory_stats"] == {
        "actual": 1,
        "swap_in": 2,
        "major_fault": 4,
        "minor_fault": 5,
        "unused": 6,
        "available": 7,
        "usable": 8,
        "last_update": 9,
        "rss": 10,
    }
    assert on["vcpu_stats"] == {"cpu_time": 11, "user_time": 12, "system_time": 13}
    counters = ("rd_bytes", "rd_packets", "rd_errors", "rd_drops", "wr_bytes", "wr_packets", "wr_errors", "wr_drops")
    assert [on["networks"][0][name] for name in counters] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [on["disks"][0][name] for name in ("rd_req", "rd_bytes", "wr_req", "wr_bytes")] == [1, 2, 3, 4]
    assert (on["vnc"], on["console"]) == ({"listen": "127.0.0.1", "port": "5903"}, "pty")


async def test_a_vm_is_in_doubt_while_its_node_cannot_tell_how_it_is(bare: Site) -> None:
    await nodes.join(bare.state, Node(name=NODE))
    await nodes.publish(bare.state, NODE, RUNS)
    uuid = await bare.define("web1")
    seen = {uuid: Observed(power=Power.RUNNING)}

    async def shown() -> list[tuple[str, str]]:
        lists = [(await bare.ask("GET", path)).body for path in ("/vm", "/vm/web1")]
        return [(vm["power"], vm["doubt"]) for [vm] in lists]

    await nodes.publish(bare.state, NODE, NodeStatus(daemon=DaemonState.RUN, vms=seen))
    assert await shown() == [("running", "")] * 2
    await nodes.publish(bare.state, NODE, NodeStatus(daemon=DaemonState.RUN, vms=seen, problem="no libvirtd"))
    assert await shown() == [("unknown", f'Node "{NODE}" cannot tell whether the VM runs: no libvirtd')] * 2
    await nodes.publish(bare.state, NODE, NodeStatus(daemon=DaemonState.RUN, vms=seen))
    await nodes.leave(bare.state, NODE)
    assert await shown() == [("unknown", f'Node "{NODE}" does not answer: whether the VM runs is not known.')] * 2
