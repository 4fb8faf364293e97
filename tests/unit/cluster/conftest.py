from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvc.cluster.opening import open_state
from pvc.storage.directory import open_directory
from pvc.store.embedded import EmbeddedSource
from tests.unit.cluster.house import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    pool = await open_directory("local", tmp_path / "pool")
    house = House(await open_state(source), await open_state(source), pool)
    await house.record_node()
    yield house
    await pool.aclose()
    await source.aclose()
