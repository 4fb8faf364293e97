from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvc.cluster.opening import open_state
from pvc.storage.directory import open_directory
from pvc.store.embedded import EmbeddedSource
from tests.unit.agent.lab import Lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    pool = await open_directory("local", tmp_path / "pool")
    yield Lab(source, await open_state(source), pool, tmp_path)
    await pool.aclose()
    await source.aclose()
