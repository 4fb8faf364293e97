"""Pools that only one node can open: its server says so, whatever is asked of it."""

from __future__ import annotations

from msgspec.structs import replace

from pvc.cluster import nodes
from pvc.model.records import DaemonState, Node, NodeStatus
from pvc.units import GIB, MIB
from tests.parts import documents
from tests.unit.server.site import Site

OWN = 'VM "web1" has the volume "local/own" in a pool that only node "hv1" can open'


async def another_node(site: Site) -> None:
    """With far more room than the one of this server."""
    await nodes.join(site.state, Node(name="hv2"))
    status = NodeStatus(daemon=DaemonState.RUN, memory_total=64 * GIB, memory_free=64 * GIB, cpu_count=8)
    await nodes.publish(site.state, "hv2", status)


async def test_a_vm_is_not_defined_where_its_volume_is_not(site: Site) -> None:
    await site.pool.create("own", MIB)
    await another_node(site)
    before = await site.everything()
    xml = documents.vm("web1", devices=[documents.disk("local/own")])
    answer = await site.ask("POST", "/vm", json={"xml": xml, "node": "hv2"})
    assert (answer.status, answer.code, answer.message) == (409, "conflict", f"{OWN}.")
    assert await site.everything() == before


async def test_a_node_is_chosen_where_the_volume_is(site: Site) -> None:
    await site.pool.create("own", MIB)
    await another_node(site)
    await site.define("web1", documents.disk("local/own"))
    await site.define("web2")
    found = {one["name"]: one["node"] for one in (await site.ask("GET", "/vm")).body}
    assert found == {"web1": "hv1", "web2": "hv2"}


async def test_a_vm_with_volumes_of_another_server_is_not_removed_with_those_of_this_one(site: Site) -> None:
    await site.pool.create("own", MIB)
    await site.define("web1", documents.disk("local/own"))
    await another_node(site)
    held = await site.state.find_vm("web1")
    await site.state.write_vm(held, replace(held.record, node="hv2"))
    before = await site.everything()
    answer = await site.ask("DELETE", "/vm/web1", {"delete_disks": "true"})
    advice = ': remove it through the server there, or forget the VM alone with "pvc vm undefine".'
    assert (answer.status, answer.message) == (409, OWN.replace("hv1", "hv2") + advice)
    assert await site.everything() == before


async def test_a_vm_that_cannot_start_can_be_removed(site: Site) -> None:
    site.hypervisor.refuse_starts("out of smoke")
    await site.define("web1")
    await site.ask("POST", "/vm/web1/state", {"state": "start", "wait": "yes"})
    answer = await site.ask("DELETE", "/vm/web1", {"delete_disks": "true"})
    assert answer.status == 200, answer.body


async def test_a_pool_names_the_node_that_alone_can_open_it(bare: Site) -> None:
    [pool] = (await bare.ask("GET", "/storage/ceph/pool")).body
    assert (pool["shared"], pool["node"]) == (False, "hv1")
