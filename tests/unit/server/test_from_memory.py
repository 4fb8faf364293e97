"""Whoever must know of all VMs is told from memory, and misses nothing that another server did before."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvc.errors import StoreUnavailable
from pvc.store.embedded import EmbeddedSource
from pvc.store.inforce import InForce
from tests.unit.server.site import Site, lively, opened


@pytest.mark.parametrize(
    ("method", "path", "arguments"),
    [
        ("POST", "/vm/web1/network", {"net": "100", "live": "false"}),
        ("DELETE", "/network/100", {}),
        ("POST", "/vm/web1/node", {"action": "migrate"}),
        ("POST", "/node/hv1/domain-state", {"state": "flush"}),
        ("DELETE", "/storage/ceph/volume/local/web1", {}),
    ],
)
async def test_a_change_that_asks_for_all_vms_reads_no_list_of_them_from_the_store(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str, arguments: dict[str, str]
) -> None:
    async def children(store: InForce, path: str) -> list[str]:
        if path == site.state.paths.vms:
            raise StoreUnavailable(reason="all VMs were asked for")
        return await read(store, path)

    read = InForce.children
    await site.define()
    monkeypatch.setattr(InForce, "children", children)
    answer = await site.ask(method, path, arguments)
    assert answer.status != 503, answer.body


async def test_a_mac_that_one_server_gave_a_vm_another_server_gives_no_second(tmp_path: Path) -> None:
    source, other = await EmbeddedSource.open(str(tmp_path / "pvc.db")), tmp_path / "other"
    other.mkdir()
    async with opened(tmp_path, source=source) as first, lively(first), opened(other, source=source) as second:
        assert (
            await first.ask("POST", "/network", {"vni": "100", "description": "office", "nettype": "bridged"})
        ).status == 200
        await first.define("web1")
        await first.define("web2")
        for number in range(20):
            arguments = {"net": "100", "mac": f"52:54:00:aa:bb:{number:02x}", "live": "false"}
            given = await first.ask("POST", "/vm/web1/network", arguments)
            assert given.status == 200, given.body
            refused = await second.ask("POST", "/vm/web2/network", arguments)
            assert (refused.status, refused.body["code"]) == (409, "conflict"), refused.body
