from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvc.storage.directory import DirectoryPool, open_directory
from pvc.units import MIB

SIZE = 8 * MIB


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[DirectoryPool]:
    """A pool "local" with a volume "disk0" of SIZE bytes that begins with "old"."""
    pool = await open_directory("local", tmp_path / "pool")
    await pool.create("disk0", SIZE)
    async with pool.draft("disk0") as draft:
        await draft.write(b"old")
        await draft.commit()
    yield pool
    await pool.aclose()
