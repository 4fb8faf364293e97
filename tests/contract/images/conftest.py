from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvc.storage.directory import DirectoryPool
from pvc.units import MIB
from tests.contract.storage.conftest import harness
from tests.contract.storage.harness import AnyPool, DirectoryHarness, Harness

__all__ = ["harness"]

SIZE = 8 * MIB


async def _with_a_volume(pool: AnyPool) -> None:
    await pool.create("disk0", SIZE)
    async with pool.draft("disk0") as draft:
        await draft.write(b"old")
        await draft.commit()


@pytest.fixture
async def pool(harness: Harness) -> AsyncIterator[AnyPool]:
    """A pool "local" with a volume "disk0" of SIZE bytes that begins with "old"."""
    pool = await harness.open()
    await _with_a_volume(pool)
    yield pool
    await pool.aclose()


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[DirectoryPool]:
    """The same in a folder, where the kind of pool makes no difference."""
    pool = await DirectoryHarness(tmp_path / "pool").open()
    await _with_a_volume(pool)
    yield pool
    await pool.aclose()
