"""Every test here that takes the lab gets it whole, and leaves it so."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _whole(request: pytest.FixtureRequest) -> None:
    if "lab" in request.fixturenames:
        request.getfixturevalue("mended")
