from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pvc.store.base import Store
from tests.contract.store.harness import EmbeddedHarness, Harness, ZooKeeperHarness
from tests.parts.zookeeper import ZooKeeper


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[ZooKeeper]:
    """One server for all tests that leave it running."""
    with ZooKeeper() as server:
        yield server


@pytest.fixture
def own_zookeeper() -> Iterator[ZooKeeper]:
    """A server for a test that stops, kills or freezes it."""
    with ZooKeeper() as server:
        yield server


@pytest.fixture(params=["embedded", pytest.param("zookeeper", marks=pytest.mark.real)])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    opened: Harness
    if request.param == "embedded":
        opened = await EmbeddedHarness.open(tmp_path)
    else:
        opened = await ZooKeeperHarness.open(request.getfixturevalue("zookeeper"))
    yield opened
    await opened.aclose()


@pytest.fixture
async def store(harness: Harness) -> Store:
    return await harness.session()


@pytest.fixture
def root(harness: Harness) -> str:
    return harness.root
