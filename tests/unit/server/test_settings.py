"""Settings of VMs and networks: what is named changes, nothing else does."""

from __future__ import annotations

import pytest

from pvc.cluster import nodes
from pvc.model.records import Node
from tests.unit.server.site import Site

SET = {"limit": "hv1", "selector": "vcpus", "autostart": "true", "profile": "web", "migration_method": "live"}
SET |= {"migration_max_downtime": "250"}


async def test_changing_one_setting_leaves_the_others(site: Site) -> None:
    await site.define("web1")
    assert (await site.ask("POST", "/vm/web1/meta", SET)).status == 200
    before = (await site.ask("GET", "/vm/web1/meta")).body
    assert before == {
        "name": "web1",
        "node_limit": ["hv1"],
        "node_selector": "vcpus",
        "node_autostart": True,
        "migration_method": "live",
        "migration_max_downtime": 250,
        "profile": "web",
    }
    [shown] = (await site.ask("GET", "/vm/web1")).body
    assert {field: shown[field] for field in before if field in shown} == before
    assert "migration_max_downtime" in shown
    answer = await site.ask("POST", "/vm/web1/meta", {"migration_method": "shutdown"})
    assert answer.message == 'Changed the settings of VM "web1".'
    assert (await site.ask("GET", "/vm/web1/meta")).body == before | {"migration_method": "shutdown"}


async def test_without_settings_a_vm_has_none(site: Site) -> None:
    await site.define("web1")
    shown = (await site.ask("GET", "/vm/web1/meta")).body
    assert (shown["migration_method"], shown["node_limit"], shown["node_autostart"]) == ("none", None, False)


async def test_an_empty_limit_is_no_limit(site: Site) -> None:
    await site.define("web1")
    await site.ask("POST", "/vm/web1/meta", SET)
    await site.ask("POST", "/vm/web1/meta", {"limit": "", "profile": ""})
    shown = (await site.ask("GET", "/vm/web1/meta")).body
    assert (shown["node_limit"], shown["profile"], shown["node_selector"]) == (None, "", "vcpus")


@pytest.mark.parametrize("given", [[("limit", "hv1,hv2")], [("limit", "hv1"), ("limit", "hv2")]])
async def test_nodes_of_a_limit_come_one_by_one_or_with_commas(site: Site, given: list[tuple[str, str]]) -> None:
    await nodes.join(site.state, Node(name="hv2"))
    await site.define("web1")
    words = "&".join(f"{name}={value}" for name, value in given)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await site.ask("POST", "/vm/web1/meta", data=words, headers=form)).status == 200
    assert (await site.ask("GET", "/vm/web1/meta")).body["node_limit"] == ["hv1", "hv2"]


async def test_a_change_of_nothing_is_refused(site: Site) -> None:
    await site.define("web1")
    answer = await site.ask("POST", "/vm/web1/meta")
    assert (answer.status, list(answer.fields)) == (400, ["limit"])
    assert answer.message.startswith('Argument "limit" or one of selector, autostart, ')


async def test_a_network_is_renamed_and_found_by_its_new_name_alone(site: Site) -> None:
    await site.ask("POST", "/network/100", {"description": "lan", "nettype": "bridged", "mtu": 9000})
    assert (await site.ask("PUT", "/network/100", {"description": "servers"})).message == 'Network "100" modified.'
    [shown] = (await site.ask("GET", "/network/servers")).body
    assert (shown["vni"], shown["mtu"], shown["bridge"]) == (100, "9000", "vmbr100")
    assert (await site.ask("GET", "/network/lan")).status == 404
    assert (await site.ask("POST", "/network/101", {"description": "lan", "nettype": "bridged"})).status == 200


async def test_a_network_does_not_take_the_name_of_another(site: Site) -> None:
    for vni, name in (("100", "lan"), ("101", "dmz")):
        await site.ask("POST", f"/network/{vni}", {"description": name, "nettype": "bridged"})
    before = await site.everything()
    answer = await site.ask("PUT", "/network/101", {"description": "lan", "mtu": 1500})
    assert (answer.status, answer.message) == (409, 'Network "lan" exists already.')
    assert await site.everything() == before


@pytest.mark.parametrize("vni", ["0", "16777216", "lan", "1e3"])
async def test_a_path_that_is_no_vni_makes_no_network(site: Site, vni: str) -> None:
    answer = await site.ask("POST", f"/network/{vni}", {"description": "lan", "nettype": "bridged"})
    assert (answer.status, list(answer.fields)) == (400, ["vni"])
    assert (await site.ask("GET", "/network")).body == []
