"""Another generation is put in force on each store: at any size, all at once, and heard of by every session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pvc.cluster import backing, recovery
from pvc.model import backup
from pvc.model.backup import Backup
from pvc.model.content import Content
from pvc.model.records import Node
from pvc.store import generation
from pvc.store.base import Source
from pvc.store.embedded import EmbeddedSource
from tests.contract.store.harness import clustered
from tests.parts.recovery import Breaking, content, ground, outcome, vm
from tests.parts.zookeeper import ZooKeeper

# Makes 30 MiB of 20,000 VMs.
NOTE = "Kept by the people who run it, who wrote down here what it is for and whom to ask. " * 12


@pytest.fixture(scope="module")
def server() -> Iterator[ZooKeeper]:
    """One that other tests do not look into: generations have fixed paths."""
    with ZooKeeper() as server:
        yield server


@pytest.fixture(params=["embedded", pytest.param("zookeeper", marks=pytest.mark.real)])
async def source(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Source]:
    opened: Source
    if request.param == "embedded":
        opened = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    else:
        opened = clustered([request.getfixturevalue("server").address], 20.0)
    yield opened
    await opened.aclose()


async def restore(source: Source, given: Content) -> recovery.Outcome:
    async with ground(source) as on:
        return await recovery.restore(on, Backup(given), who="me", force=True)


async def present(source: Source) -> Content:
    async with ground(source) as on:
        return backup.read(await backing.take(on)).content


async def test_every_session_hears_of_it_and_a_new_one_has_all_of_it(source: Source) -> None:
    async with ground(source) as one, ground(source) as other:
        await restore(source, content(3))
        async with asyncio.timeout(10):
            await one.store.lost.wait()
            await other.store.lost.wait()
    assert await present(source) == content(3)


async def test_a_store_that_breaks_at_any_call_has_the_old_or_the_new_records(source: Source) -> None:
    """On ZooKeeper at every fourth: the embedded one is tried at each."""
    old, new = content(1), content(1, first=2)
    step = 1 if isinstance(source, EmbeddedSource) else 4
    for number in range(0, 1000, step):
        await restore(source, old)
        breaking = Breaking(source, number, after=bool(number // step % 2))
        problem = await outcome(_attempt(breaking, new))
        assert await present(source) in (old, new)
        if not breaking.broke:
            assert problem == ""
            break
    async with ground(source) as on:
        await recovery.clear(on.state)
        kept = {one.generation for one in await generation.kept(on.store)}
        assert {name for name in await on.store.children("/pvc") if name.isdigit()} == kept


async def _attempt(source: Source, new: Content) -> None:
    async with ground(source) as on:
        await recovery.restore(on, Backup(new), who="me", force=True)


async def test_a_backup_is_of_one_moment_while_several_write(source: Source) -> None:
    """Two VMs always bear the same mark, written in one transaction."""
    await restore(source, Content.ordered([], [Node(name="hv1")], [vm(1), vm(2)]))
    stop = asyncio.Event()
    async with ground(source) as on, ground(source) as writer:

        async def write() -> None:
            mark = 0
            while not stop.is_set():
                held = [await writer.state.vm(vm(number).uuid) for number in (1, 2)]
                mark += 1
                puts = [writer.state.put_vm(one, replace(one.record, profile=str(mark))) for one in held]
                await writer.store.commit(*puts)

        writing = asyncio.create_task(write())
        marks = set()
        for _ in range(15):
            one, other = backup.read(await backing.take(on)).content.vms
            assert one.profile == other.profile
            marks.add(one.profile)
        stop.set()
        await writing
    assert len(marks) > 1


async def test_the_same_backup_goes_from_one_store_to_the_other_and_back(source: Source, tmp_path: Path) -> None:
    standalone = await EmbeddedSource.open(str(tmp_path / "another.db"))
    await restore(standalone, content(3))
    for there in (source, standalone):
        await restore(there, await present(standalone))
        assert await present(there) == content(3)
    await standalone.aclose()


@pytest.mark.timeout(300)
async def test_twenty_thousand_vms_are_restored_in_one_moment(source: Source) -> None:
    """On ZooKeeper, whose tests share a small machine, as many as make more than it takes at once."""
    many = content(20_000 if isinstance(source, EmbeddedSource) else 2_000, note=NOTE)
    await restore(source, many)
    assert await present(source) == many
