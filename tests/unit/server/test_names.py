"""Names by their beginning: what a shell offers to whoever is typing one."""

from __future__ import annotations

from typing import Any

import pytest

from pvc.store.base import Create
from pvc.units import MIB
from tests.unit.server.site import NODE, Site


async def names(site: Site, kind: str, **more: Any) -> list[str]:
    answer = await site.ask("GET", "/names", {"kind": kind, **more})
    assert answer.status == 200, answer.body
    return list(answer.body["names"])


async def test_names_begin_as_asked_and_are_in_order(site: Site) -> None:
    for name in ("web2", "db", "web1"):
        await site.define(name)
    assert await names(site, "vm", prefix="web") == ["web1", "web2"]
    assert await names(site, "vm") == ["db", "web1", "web2"]
    assert await names(site, "vm", prefix="Web") == []


async def test_no_more_than_asked_for_come_and_the_answer_says_so(site: Site) -> None:
    for name in ("c", "a", "b"):
        await site.define(name)
    some = await site.ask("GET", "/names", {"kind": "vm", "most": 2})
    assert some.body == {"names": ["a", "b"], "more": True}
    assert (await site.ask("GET", "/names", {"kind": "vm", "most": 3})).body["more"] is False


async def test_volumes_are_named_with_their_pool_unless_it_is_known(bare: Site) -> None:
    for name in ("disk0", "disk1", "other"):
        await bare.pool.create(name, MIB)
    assert await names(bare, "volume", prefix="local/disk") == ["local/disk0", "local/disk1"]
    assert await names(bare, "volume", prefix="loc") == ["local/disk0", "local/disk1", "local/other"]
    assert await names(bare, "volume", prefix="elsewhere/") == []
    assert await names(bare, "volume", prefix="disk", pool="local") == ["disk0", "disk1"]
    assert (await bare.ask("GET", "/names", {"kind": "volume", "pool": "absent"})).code == "not_found"


async def test_each_kind_has_its_names(site: Site) -> None:
    await site.define("web1")
    await site.ask("POST", "/vm/web1/tags", {"action": "add", "tag": "blue"})
    await site.ask("POST", "/network", {"vni": 100, "description": "dmz", "nettype": "bridged"})
    assert await names(site, "tag") == ["blue"]
    assert await names(site, "network", prefix="1") == ["100"]
    assert await names(site, "node") == [NODE]
    assert "local" in await names(site, "pool")
    assert await names(site, "ova") == []
    assert await names(site, "task") == [task.id for task in await site.tasks()]


@pytest.mark.parametrize("kind", ["vm", "network", "node", "task", "ova"])
async def test_a_record_that_cannot_be_read_has_its_key_for_a_name(bare: Site, kind: str) -> None:
    folder = f"{bare.state.paths.root}/{kind}s"
    await bare.state.store.commit(Create(f"{folder}/77", b"{"))
    assert await names(bare, kind) == ["77"]
