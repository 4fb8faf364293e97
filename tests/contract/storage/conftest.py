from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.storage.harness import AnyPool, DirectoryHarness, Harness

Unchanged = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture(params=["directory", pytest.param("rbd", marks=pytest.mark.real)])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    if request.param == "directory":
        yield DirectoryHarness(tmp_path / "pool")
        return
    from tests.contract.storage.rbd_harness import RBDHarness

    with RBDHarness(request.getfixturevalue("ceph")) as harness:
        yield harness


@pytest.fixture
async def pool(harness: Harness) -> AsyncIterator[AnyPool]:
    pool = await harness.open()
    yield pool
    await pool.aclose()


@pytest.fixture
def unchanged(pool: AnyPool, harness: Harness) -> Unchanged:
    """A context after which the pool must be what it was before."""

    async def state() -> object:
        volumes = await pool.volumes()
        contents = [harness.content(volume.name) for volume in volumes]
        snapshots = [await pool.snapshots(volume.name) for volume in volumes]
        return volumes, contents, snapshots, await harness.hidden()

    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        before = await state()
        yield
        assert await state() == before

    return context
