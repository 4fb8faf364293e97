from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvc.cluster.opening import open_state
from pvc.storage.directory import open_directory
from pvc.storage.folder import Folder
from pvc.store.embedded import EmbeddedSource
from tests.parts.certificates import EC, Authority
from tests.unit.agent.lab import Lab
from tests.unit.agent.pair import Pair, SharedPool


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    pool = await open_directory("local", tmp_path / "pool")
    yield Lab(source, await open_state(source), pool, tmp_path)
    await pool.aclose()
    await source.aclose()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with all that QEMU needs to move guests encrypted."""
    folder, made = tmp_path / "qemu", tmp_path / "made"
    made.mkdir()
    folder.mkdir()
    authority = Authority(made, new=EC)
    shutil.copy(authority.certificate, folder / "ca-cert.pem")
    pem = authority.sign("hv1", "IP:10.0.0.1")
    for side in ("server", "client"):
        shutil.copy(pem, folder / f"{side}-cert.pem")
        shutil.copy(pem.with_suffix(".key"), folder / f"{side}-key.pem")
    return folder


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    pool = SharedPool(await asyncio.to_thread(Folder, "local", tmp_path / "pool"))
    yield await asyncio.to_thread(Pair, source, await open_state(source), pool, tmp_path)
    await pool.aclose()
    await source.aclose()
