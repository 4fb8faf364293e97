"""For every test: a blocking call of pvc on the event loop fails the test that made it."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx

from tests.parts.libvirtd import Libvirtd

if TYPE_CHECKING:
    from tests.lab.lab import Lab
    from tests.parts.ceph import Ceph


# Whoever starts the tests in the background has SIGINT ignored, which programs would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


MEMORY, ROOM = Path("/dev/shm"), 4 << 30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pvc", help="the pvc that the command-line tests run; default: that of this source")
    parser.addoption("--regenerate", action="store_true", help="write the golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    """What needs no service keeps its files in memory where there is room: small databases wait for no disk then."""
    if config.option.markexpr == "not real" and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(autouse=True)
def never_blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    if not inspect.iscoroutinefunction(getattr(request.node, "function", None)):
        yield
        return
    with blockbuster_ctx("pvc"):
        yield


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[Libvirtd]:
    """One private libvirtd for all tests that neither stop nor kill it."""
    with Libvirtd() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """One Ceph for all tests; who freezes a part of it lets it go on."""
    from tests.parts.ceph import Ceph

    with Ceph() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One cluster for all tests. `mended` puts it back as it was."""
    from tests.lab.lab import Lab

    with Lab() as cluster:
        yield cluster


@pytest.fixture
def mended(lab: Lab) -> Iterator[Lab]:
    """The lab, and afterwards everything in it runs again and nothing that the test made is left."""
    from tests.lab.mending import mend

    yield lab
    mend(lab)
