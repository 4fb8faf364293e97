from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.server.site import Site, lively, opened


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Site]:
    """No agent anywhere."""
    async with opened(tmp_path) as site:
        yield site


@pytest.fixture
async def site(bare: Site) -> AsyncIterator[Site]:
    async with lively(bare):
        yield bare
