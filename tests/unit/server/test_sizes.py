"""CPUs and memory, and changes that come with a restart: one request, one transaction."""

from __future__ import annotations

from typing import Any

import pytest

from pvc.cluster import networks, power
from pvc.model.records import VM, Network, Observed
from pvc.units import MIB
from tests.parts import documents
from tests.unit.server.site import Answer, Site

MAC = "52:54:00:00:00:01"


async def post(site: Site, what: str, **params: Any) -> Answer:
    return await site.ask("POST", f"/vm/web1/{what}", json=params)


async def shown(site: Site) -> tuple[int, str, int]:
    vcpu, memory = (await site.ask("GET", "/vm/web1/vcpu")).body, (await site.ask("GET", "/vm/web1/memory")).body
    return vcpu["vcpu"], vcpu["vcpu_topology"], memory["memory"]


async def settled(site: Site, uuid: str) -> None:
    def true(vm: VM, seen: Observed) -> bool:
        return power.settled(vm, seen)

    await power.watch_until(site.state, (await site.state.vm(uuid)).record, true, "It", 20)


async def test_the_sizes_of_a_vm_that_is_off_are_set_and_shown(site: Site) -> None:
    await site.define()
    assert (await post(site, "vcpu", vcpu=4, topology="1/2/2")).message == 'VM "web1" has 4 vCPUs.'
    assert (await post(site, "memory", memory="1G")).message == 'VM "web1" has 1G of memory.'
    assert await shown(site) == (4, "1/2/2", 1024)
    assert (await post(site, "vcpu", vcpu=1)).message == 'VM "web1" has 1 vCPU.'
    assert (await post(site, "memory", memory="768")).message == 'VM "web1" has 768M of memory.'
    assert await shown(site) == (1, "N/A", 768)


async def test_a_running_guest_has_them_from_its_next_start_on(site: Site) -> None:
    uuid = await site.running()
    answer = await post(site, "memory", memory="128M")
    assert answer.message == 'VM "web1" has 128M of memory from its next start on.'
    assert site.hypervisor.starts[uuid] == 1


@pytest.mark.parametrize(("what", "params"), [("vcpu", {"vcpu": 2}), ("memory", {"memory": "128M"})])
async def test_a_restart_comes_with_the_change(site: Site, what: str, params: dict[str, Any]) -> None:
    uuid = await site.running()
    before = await site.state.vm(uuid)
    assert (await post(site, what, restart=True, **params)).message.endswith(" and is restarted.")
    after = await site.state.vm(uuid)
    assert (after.version, after.record.run) == (before.version + 1, before.record.run + 1)
    await settled(site, uuid)
    assert site.hypervisor.starts[uuid] == 2


async def test_what_is_off_stays_off_though_a_restart_is_asked_for(site: Site) -> None:
    uuid = await site.running()
    site.hypervisor.power_off(uuid)
    await site.stopped(uuid)
    run = (await site.state.vm(uuid)).record.run
    assert (await post(site, "vcpu", vcpu=2, restart=True)).message == 'VM "web1" has 2 vCPUs.'
    assert (await site.state.vm(uuid)).record.run == run


@pytest.mark.parametrize(
    ("what", "params", "words"),
    [
        ("vcpu", {"vcpu": 5}, 'Node "hv1" has 4 CPUs, which is less than 5.'),
        ("memory", {"memory": "9G"}, 'Node "hv1" has 8G of memory, which is less than 9G.'),
    ],
)
async def test_more_than_the_node_has_is_refused(site: Site, what: str, params: dict[str, Any], words: str) -> None:
    await site.define()
    before = await site.everything()
    answer = await post(site, what, **params)
    assert (answer.status, answer.code, answer.message) == (409, "no_room", words)
    assert await site.everything() == before


@pytest.mark.parametrize("memory", ["0", "-1", "1.5G", "1025K", "", "9" * 400, "2X"])
async def test_memory_that_is_none_is_refused(site: Site, memory: str) -> None:
    await site.define()
    answer = await post(site, "memory", memory=memory)
    assert (answer.status, list(answer.fields)) == (400, ["memory"])


async def test_devices_come_and_go_by_a_restart(site: Site) -> None:
    await site.pool.create("disk0", MIB)
    await networks.add(site.state, Network(vni=100, description="lan", bridge="vmbr100"))
    uuid = await site.running()
    for number, (method, path, params, has) in enumerate(
        [
            ("POST", "volume", {"volume": "local/disk0"}, ["vda"]),
            ("POST", "network", {"net": "lan", "mac": MAC}, ["vda", MAC]),
            ("DELETE", "volume", {"volume": "local/disk0"}, [MAC]),
            ("DELETE", "network", {"mac": MAC}, []),
        ]
    ):
        before = await site.state.vm(uuid)
        answer = await site.ask(method, f"/vm/web1/{path}", json={**params, "restart": True})
        assert answer.message.endswith('the configuration of VM "web1", which is restarted.')
        assert (await site.state.vm(uuid)).version == before.version + 1
        await settled(site, uuid)
        assert site.hypervisor.starts[uuid] == number + 2
        assert site.hypervisor.devices(uuid) == has
    assert [act for act, _ in site.hypervisor.acts if act in ("attach", "detach")] == []


@pytest.mark.parametrize("live", [True, False])
async def test_a_restart_and_live_exclude_each_other(site: Site, live: bool) -> None:
    await site.pool.create("disk0", MIB)
    await site.define("web1", documents.disk("local/disk0"))
    before = await site.everything()
    answer = await site.ask("DELETE", "/vm/web1/volume", json={"volume": "local/disk0", "live": live, "restart": True})
    assert (answer.status, answer.fields) == (400, {"restart": 'must stand without "live"'})
    assert await site.everything() == before
