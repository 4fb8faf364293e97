"""What every pair of hypervisors does when a guest goes from one to the other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pvc.errors import HypervisorRefused
from pvc.hypervisor.base import Copy, Hypervisor, Tuning
from pvc.hypervisor.fake import FakeHypervisor
from pvc.hypervisor.libvirt import LibvirtHypervisor
from pvc.model import domain
from pvc.model.records import Ending, Power
from tests.contract.hypervisor.harness import Ears, domain_xml

NOWHERE = "qemu+tcp://127.0.0.1:1/system"
SLOW = Tuning(bandwidth=1 << 20)


@dataclass
class Two:
    """A guest that runs on `source` and hears nothing. slow: have migrations take seconds, or until they are ended."""

    source: Hypervisor
    target: Hypervisor
    uri: str
    uuid: str
    slow: Callable[[], None]

    async def begin(self, tuning: Tuning | None = None, uri: str = "") -> asyncio.Task[None]:
        xml = await self.source.movable_xml(self.uuid)
        return asyncio.create_task(self.source.migrate(self.uuid, xml, uri or self.uri, tuning or Tuning()))

    async def under_way(self) -> Copy:
        async with asyncio.timeout(60):
            while not (copy := await self.source.copy(self.uuid)) or not copy.total:
                await asyncio.sleep(0.01)
            return copy

    async def aborted(self) -> None:
        """Said again until nothing is under way, as the agent does: libvirt does not hear each of them."""
        async with asyncio.timeout(60):
            while await self.source.copy(self.uuid) is not None:
                await self.source.abort_migration(self.uuid)
                await asyncio.sleep(0.1)

    async def power(self, hypervisor: Hypervisor) -> tuple[Power, int | None] | None:
        return next(((one.power, one.run) for one in await hypervisor.domains() if one.uuid == self.uuid), None)

    async def is_only(self, here: Hypervisor) -> None:
        other = self.target if here is self.source else self.source
        async with asyncio.timeout(60):
            while await self.power(other) is not None or await here.copy(self.uuid) is not None:
                await asyncio.sleep(0.01)
        assert await self.power(here) == (Power.RUNNING, 7)


@pytest.fixture(params=["fake", pytest.param("libvirt", marks=[pytest.mark.real, pytest.mark.lab])])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Two]:
    xml = re.sub(r">192<", ">8192<", domain_xml("mover", tmp_path, run=7, disk=False))  # half a minute to look through
    uuid = domain.describe(xml).uuid
    if request.param == "fake":
        fakes = FakeHypervisor(), FakeHypervisor()
        fakes[0].others["fake://two"] = fakes[1]
        await fakes[0].start(xml)
        yield Two(*fakes, "fake://two", uuid, fakes[0].hold_moves)
        return
    lab = request.getfixturevalue("lab")
    source, target = (LibvirtHypervisor(lab.nodes[name].libvirtd.uri, "qemu") for name in ("hv1", "hv2"))
    await source.start(xml)
    try:
        yield Two(source, target, "qemu+tcp://10.99.0.2/system", uuid, lambda: None)
    finally:
        for one in (source, target):
            if uuid in [seen.uuid for seen in await one.domains()]:
                await one.stop(uuid)
            await one.aclose()


async def test_a_guest_that_went_runs_there_and_is_gone_here_and_both_know_how_long_it_stood_still(two: Two) -> None:
    ears = Ears(two.source)
    await (await two.begin())
    await two.is_only(two.target)
    assert (await ears.ending(two.uuid)).ending is Ending.MIGRATED
    for one in (two.source, two.target):
        ended = await one.last_copy(two.uuid)
        assert ended is not None
        assert ended.downtime_ms is not None
        assert 0 < ended.downtime_ms <= ended.elapsed_ms
        assert ended.processed > 0


async def test_one_that_is_aborted_stays_and_nothing_is_left_there(two: Two) -> None:
    two.slow()
    moving = await two.begin(SLOW)
    copy = await two.under_way()
    assert copy.left <= copy.total
    assert await two.target.copy(two.uuid) is not None
    await two.source.allow_downtime(two.uuid, 250)
    await two.aborted()
    with pytest.raises(HypervisorRefused):
        await moving
    await two.is_only(two.source)


async def test_one_that_cannot_be_reached_is_refused_and_the_guest_stays(two: Two) -> None:
    with pytest.raises(HypervisorRefused):
        await (await two.begin(uri=NOWHERE))
    await two.is_only(two.source)


async def test_it_goes_on_when_nobody_waits_for_it_any_more(two: Two) -> None:
    two.slow()
    moving = await two.begin(SLOW)
    await two.under_way()
    moving.cancel()
    await asyncio.gather(moving, return_exceptions=True)
    assert await two.source.copy(two.uuid) is not None
    await two.aborted()
    await two.is_only(two.source)


async def test_aborting_where_nothing_is_under_way_does_nothing(two: Two) -> None:
    await two.source.abort_migration(two.uuid)
    await two.target.abort_migration(two.uuid)
    await two.is_only(two.source)


async def test_a_guest_that_is_not_moved_has_no_copy(two: Two) -> None:
    assert await two.source.copy(two.uuid) is None
    assert await two.target.copy(two.uuid) is None
    assert await two.source.last_copy(two.uuid) is None
