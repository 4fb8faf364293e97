"""The mirror on each store: complete whenever it begins, and never behind what its own process was told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pvc.errors import AlreadyExists, Changed, Conflict, NotFound, SessionLost
from pvc.store.base import Create, Delete, Entry, Operation, Put, Reader, Store
from pvc.store.mirror import Mirror, mirrored
from tests.contract.store.harness import Harness

KEYS = 40


@asynccontextmanager
async def kept(store: Store, root: str) -> AsyncIterator[Mirror]:
    async with mirrored(store, {f"{root}/vms": 1, f"{root}/nodes": 2}) as mirror:
        keeping = asyncio.create_task(mirror.keep())
        yield mirror
        keeping.cancel()
        await asyncio.wait([keeping])


@pytest.fixture
async def furnished(store: Store, root: str) -> Store:
    await store.commit(Create(f"{root}/vms"), Create(f"{root}/nodes"), Create(f"{root}/vms/a", b"1"))
    await store.commit(Create(f"{root}/nodes/hv1"), Create(f"{root}/nodes/hv1/status", b"2"))
    return store


async def everything(reader: Reader, root: str) -> dict[str, Entry | None]:
    """Every record below the two folders, as the reader has it."""
    paths = [f"{root}/vms/{name}" for name in await reader.children(f"{root}/vms")]
    for name in await reader.children(f"{root}/nodes"):
        node = f"{root}/nodes/{name}"
        paths += [node, *(f"{node}/{below}" for below in await reader.children(node))]
    return dict(zip(paths, await reader.get_many(paths), strict=True))


async def test_it_has_every_record_at_its_beginning(furnished: Store, root: str) -> None:
    async with kept(furnished, root) as mirror:
        await mirror.settled()
        assert await everything(mirror, root) == await everything(furnished, root)
        assert (await mirror.get(f"{root}/nodes/hv1/status")).value == b"2"
        with pytest.raises(NotFound):
            await mirror.get(f"{root}/vms/none")
        with pytest.raises(NotFound):
            await mirror.children(f"{root}/vms/a")


async def test_who_writes_through_its_session_reads_it_at_once(furnished: Store, root: str) -> None:
    async with kept(furnished, root) as mirror:
        for version in range(30):
            await furnished.commit(Put(f"{root}/vms/a", b"", version), Create(f"{root}/vms/new-{version}"))
            assert await mirror.settled() >= furnished.revision
            assert await mirror.get(f"{root}/vms/a") == Entry(b"", version + 1)
            assert f"new-{version}" in await mirror.children(f"{root}/vms")
        await furnished.commit(Delete(f"{root}/vms/a", 30))
        await mirror.settled()
        assert await mirror.get_many([f"{root}/vms/a"]) == [None]


async def test_who_syncs_to_another_s_revision_reads_its_change(harness: Harness, furnished: Store, root: str) -> None:
    other = await harness.session()
    async with kept(furnished, root) as mirror:
        for version in range(30):
            await other.commit(Put(f"{root}/vms/a", b"", version))
            await furnished.sync()
            assert await mirror.settled() >= other.revision
            assert (await mirror.get(f"{root}/vms/a")).version == version + 1


async def test_levels_below_come_and_go_with_their_folder(harness: Harness, furnished: Store, root: str) -> None:
    other = await harness.session()
    async with kept(furnished, root) as mirror:
        await other.ensure(f"{root}/nodes/hv2/status")
        await other.commit(Create(f"{root}/nodes/hv2/alive", ephemeral=True))
        await furnished.sync()
        await mirror.settled()
        assert await mirror.children(f"{root}/nodes/hv2") == ["alive", "status"]
        await other.aclose()
        while (await mirror.get_many([f"{root}/nodes/hv2/alive"])) != [None]:
            await furnished.sync()
            await mirror.settled()
        await furnished.commit(Delete(f"{root}/nodes/hv2/status", 0), Delete(f"{root}/nodes/hv2", 0))
        await mirror.settled()
        assert await mirror.children(f"{root}/nodes") == ["hv1"]
        with pytest.raises(NotFound):
            await mirror.children(f"{root}/nodes/hv2")


async def write_about(store: Store, root: str, luck: random.Random) -> None:
    """Create, change, delete and replace records, in both folders, until cancelled."""
    while True:
        key = luck.randrange(KEYS)
        path = luck.choice([f"{root}/vms/{key}", f"{root}/nodes/{key}", f"{root}/nodes/{key}/status"])
        [entry] = await store.get_many([path])
        try:
            await store.commit(*_some_change(path, entry, luck))
        except (AlreadyExists, Changed, Conflict, NotFound):
            continue


def _some_change(path: str, entry: Entry | None, luck: random.Random) -> list[Operation]:
    value = luck.randbytes(8)
    if entry is None:
        return [Create(path, value)]
    return luck.choice(
        [
            [Put(path, value, entry.version)],
            [Delete(path, entry.version)],
            [Delete(path, entry.version), Create(path, value)],
        ]
    )


@pytest.mark.parametrize("seed", range(4))
async def test_begun_in_the_middle_of_heavy_writes_it_is_complete(
    harness: Harness, furnished: Store, root: str, seed: int
) -> None:
    writers = [await harness.session() for _ in range(3)]
    busy = [asyncio.create_task(write_about(one, root, random.Random(seed + n))) for n, one in enumerate(writers)]
    while len(await furnished.children(f"{root}/vms")) < KEYS // 4:
        pass
    async with kept(furnished, root) as mirror:
        for number in range(100):
            await furnished.commit(Create(f"{root}/vms/own-{number}", str(number).encode()))
            await mirror.settled()
            assert (await mirror.get(f"{root}/vms/own-{number}")).value == str(number).encode()
        for task in busy:
            task.cancel()
        await asyncio.wait(busy)
        await asyncio.gather(*(one.children(root) for one in writers))  # what was cut off is done before that
        await furnished.sync()
        await mirror.settled()
        assert await everything(mirror, root) == await everything(furnished, root)


async def test_it_ends_with_its_session(harness: Harness, furnished: Store, root: str) -> None:
    async with mirrored(furnished, {f"{root}/vms": 1}) as mirror:
        keeping = asyncio.ensure_future(mirror.keep())
        await harness.lose(furnished)
        with pytest.raises(SessionLost):
            await keeping
        with pytest.raises(SessionLost):
            await mirror.settled()
