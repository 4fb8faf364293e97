"""What is only asked about is refused as it would be, told as it would be, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pvc.units import MIB
from tests.parts import documents
from tests.unit.server.site import NODE, Answer, Site

DISK = documents.disk("local/disk0")


@asynccontextmanager
async def unchanged(site: Site) -> AsyncIterator[None]:
    before, acts = await site.everything(), list(site.hypervisor.acts)
    yield
    assert (await site.everything(), site.hypervisor.acts) == (before, acts)


async def define(site: Site, name: str, *devices: str) -> Answer:
    return await site.ask("POST", "/vm", json={"xml": documents.vm(name, devices=devices), "dry_run": True})


async def test_a_vm_that_could_be_defined_is_shown_as_it_would_be_stored(site: Site) -> None:
    await site.pool.create("disk0", MIB)
    async with unchanged(site):
        answer = await define(site, "web1", DISK)
    assert answer.message == f'VM "web1" would be added to node "{NODE}".'
    assert 'volume="disk0"' in answer.body["xml"]


async def test_a_vm_that_could_not_be_defined_is_refused(site: Site) -> None:
    uuid = await site.define("db")
    async with unchanged(site):
        assert (await define(site, "db")).code == "already_exists"
        assert (await define(site, "web1", DISK)).code == "not_found"
        same = {"xml": documents.vm("web1", uuid=uuid), "dry_run": True}
        assert (await site.ask("POST", "/vm", json=same)).code == "already_exists"


@pytest.mark.parametrize(
    ("query", "told", "volumes"),
    [
        ({}, 'VM "web1" would be stopped and removed.', []),
        (
            {"delete_disks": "true"},
            'VM "web1" would be stopped and removed, and its volume "local/disk0" with it.',
            ["local/disk0"],
        ),
    ],
)
async def test_the_removal_of_a_vm_is_told_beforehand(
    site: Site, query: dict[str, str], told: str, volumes: list[str]
) -> None:
    await site.pool.create("disk0", MIB)
    await site.define("web1", DISK)
    await site.ask("POST", "/vm/web1/state", {"state": "start", "wait": "true"})
    async with unchanged(site):
        answer = await site.ask("DELETE", "/vm/web1", {"dry_run": "true", **query})
    assert (answer.message, answer.body["volumes"], answer.body["stops"]) == (told, volumes, True)


async def test_a_removal_that_would_be_refused_is_refused(site: Site) -> None:
    await site.pool.create("disk0", MIB)
    await site.define("web1", DISK)
    await site.pool.snapshot("disk0", "before")
    async with unchanged(site):
        answer = await site.ask("DELETE", "/vm/web1", {"dry_run": "true", "delete_disks": "true"})
        assert (answer.status, answer.code) == (409, "conflict")
        assert (await site.ask("DELETE", "/vm/absent", {"dry_run": "true"})).code == "not_found"


async def test_what_beginning_anew_would_lose_is_told(site: Site) -> None:
    await site.define("web1")
    async with unchanged(site):
        refused = await site.ask("POST", "/initialize", {"dry_run": "true"})
        answer = await site.ask("POST", "/initialize", {"dry_run": "true", "overwrite": "true"})
    assert (refused.status, refused.code) == (409, "conflict")
    assert "web1" in [one["name"] for one in answer.body["plan"]["deletes"]]
    assert len((await site.ask("GET", "/generations")).body) == 1
