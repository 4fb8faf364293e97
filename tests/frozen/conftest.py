from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import api, pvc, tcp_api

__all__ = ["api", "pvc", "tcp_api"]


@pytest.fixture(scope="session")
def pvc_command(request: pytest.FixtureRequest) -> list[str]:
    given = request.config.getoption("--pvc") or Path(__file__).parents[2] / "dist" / "pvc"
    program = Path(given).absolute()
    if not program.exists():
        pytest.fail(f'There is no "{program}": run "make dist".')
    return [str(program)]
