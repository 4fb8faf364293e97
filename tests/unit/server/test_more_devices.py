"""Kinds of devices that the configuration adds, told apart by their alias."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvc.config import Hypervisor
from pvc.model import domain
from tests.parts import documents
from tests.unit.server.site import Answer, Site, lively, opened

ADDRESS = "<address domain='0' bus='1' slot='0' function='0'/>"
HOSTDEV = f"<hostdev mode='subsystem' type='pci'><source>{ADDRESS}</source></hostdev>"


def rng(alias: str = "", path: str = "/dev/urandom") -> str:
    name = f"<alias name='{alias}'/>" if alias else ""
    return f"<rng model='virtio'><backend model='random'>{path}</backend>{name}</rng>"


@pytest.fixture
async def more(tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(tmp_path, Hypervisor(more_devices=("rng", "watchdog"))) as site, lively(site):
        yield site


async def ask(site: Site, method: str, xml: str, **params: object) -> Answer:
    return await site.ask(method, "/vm/web1/device", json={"xml": xml, **params})


async def aliases(site: Site, uuid: str, kind: str = "rng") -> tuple[list[str], list[str]]:
    """Those of the configuration, and of the guest."""
    texts = ((await site.state.vm(uuid)).record.xml, await site.hypervisor.xml(uuid))
    found = [[domain.name_of(node) for node in domain.parse(text).iterfind(f"devices/{kind}")] for text in texts]
    return found[0], found[1]


async def test_a_device_of_such_a_kind_gets_an_alias_that_guest_and_configuration_share(more: Site) -> None:
    uuid = await more.running()
    assert (await ask(more, "POST", rng())).body["live"] is True
    configured, live = await aliases(more, uuid)
    assert configured == live
    assert re.fullmatch(r"ua-[0-9a-f-]{36}", configured[0])
    assert (await ask(more, "DELETE", rng())).body["live"] is True
    assert await aliases(more, uuid) == ([], [])


async def test_of_several_the_one_with_the_alias_goes(more: Site) -> None:
    uuid = await more.running()
    for alias in ("ua-one", "ua-two", "ua-three"):
        assert (await ask(more, "POST", rng(alias))).status == 200
    unnamed = await ask(more, "DELETE", rng())
    assert (unnamed.status, list(unnamed.fields)) == (400, ["xml"])
    assert '"ua-one", "ua-two", "ua-three"' in unnamed.message
    assert (await ask(more, "DELETE", rng("ua-two"))).status == 200
    assert await aliases(more, uuid) == (["ua-one", "ua-three"],) * 2
    assert (await ask(more, "DELETE", rng("ua-two"))).status == 404
    assert (await ask(more, "POST", rng("ua-one"))).status == 409


@pytest.mark.parametrize(
    ("xml", "status", "code"),
    [
        (rng("rng0"), 400, "invalid_input"),
        (rng("ua-" + "x" * 100), 400, "invalid_input"),
        (rng(path="/etc/shadow"), 403, "not_permitted"),
        ("<rng model='virtio'><backend model='egd' type='udp'/></rng>", 403, "not_permitted"),
        ("<input type='keyboard' bus='virtio'/>", 400, "invalid_xml"),
        (HOSTDEV, 400, "invalid_xml"),
    ],
)
async def test_what_the_configuration_does_not_add_or_reaches_for_the_host_is_refused(
    more: Site, xml: str, status: int, code: str
) -> None:
    await more.define()
    before = await more.everything()
    answer = await ask(more, "POST", xml)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert await more.everything() == before


async def test_host_devices_are_plugged_where_the_configuration_allows_them(tmp_path: Path) -> None:
    allowed = Hypervisor(more_devices=("hostdev",), allow_host_devices=True)
    async with opened(tmp_path, allowed) as site, lively(site):
        uuid = await site.running()
        assert (await ask(site, "POST", HOSTDEV)).status == 200
        assert (await ask(site, "POST", documents.nic("52:54:00:00:00:01", "virbr0"))).status == 200
        configured, live = await aliases(site, uuid, "hostdev")
        assert configured == live != []
