"""Whoever must know of all VMs is told from memory, and misses nothing that another server did before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from pvc.errors import StoreUnavailable
from pvc.server.session import SESSION
from pvc.store.base import Topic
from pvc.store.embedded import EmbeddedSource
from pvc.store.inforce import InForce
from pvc.store.mirror import Changes
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


async def test_a_mac_that_one_server_gave_a_vm_another_that_has_not_read_of_it_gives_no_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, other = await EmbeddedSource.open(str(tmp_path / "pvc.db")), tmp_path / "other"
    other.mkdir()
    async with opened(tmp_path, source=source) as first, lively(first), opened(other, source=source) as second:
        network = {"vni": "100", "description": "office", "nettype": "bridged"}
        assert (await first.ask("POST", "/network", network)).status == 200
        await first.define("web1")
        await first.define("web2")
        _reads_when_asked(second, monkeypatch)
        arguments = {"net": "100", "mac": "52:54:00:aa:bb:cc", "live": "false"}
        given = await first.ask("POST", "/vm/web1/network", arguments)
        assert given.status == 200, given.body
        refused = await second.ask("POST", "/vm/web2/network", arguments)
        assert (refused.status, refused.body["code"]) == (409, "conflict"), refused.body


def _reads_when_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mirror hears what changed, and reads it only when somebody wants to know."""
    mirror, wanted = site.app[SESSION].view.reader, asyncio.Event()
    read, settled = mirror._read, mirror.settled

    async def read_late(due: Iterable[Topic]) -> Changes:
        await wanted.wait()
        return await read(due)

    async def settle() -> int:
        wanted.set()
        return await settled()

    monkeypatch.setattr(mirror, "_read", read_late)
    monkeypatch.setattr(mirror, "settled", settle)
