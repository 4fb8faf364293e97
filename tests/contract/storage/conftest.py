from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.storage.harness import AnyPool, DirectoryHarness, Harness

Unchanged = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture(params=["directory"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    kinds = {"directory": DirectoryHarness}
    return kinds[request.param](tmp_path / "pool")


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
        return volumes, contents, snapshots, harness.hidden()

    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        before = await state()
        yield
        assert await state() == before

    return context
