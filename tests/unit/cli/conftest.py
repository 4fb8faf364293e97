from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.answers import told
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import FakeAPI

# However wide the terminal, slow the machine and wherever it stands.
ALIKE = {"TZ": "UTC", "COLUMNS": "100", "NO_COLOR": "", "PVC_COMPLETION_S": "60"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeAPI]:
    with told(FakeAPI()).listening(str(tmp_path / "pvc.sock")) as api:
        yield api


@pytest.fixture
def tcp_api() -> Iterator[FakeAPI]:
    with told(FakeAPI()).listening(("127.0.0.1", 0)) as api:
        yield api


@pytest.fixture(scope="session")
def pvc_command(request: pytest.FixtureRequest) -> list[str]:
    given = request.config.getoption("--pvc")
    return shlex.split(given) if given else [sys.executable, "-m", "pvc"]


@pytest.fixture
def pvc(pvc_command: list[str], api: FakeAPI) -> PVC:
    """pvc with the fake API as its default."""
    return PVC(pvc_command, {**ALIKE, "PVC_URL": api.url})
