"""Every test here gets the lab whole, and leaves it so."""

from __future__ import annotations

import pytest

from tests.lab.lab import Lab


@pytest.fixture(autouse=True)
def _whole(mended: Lab) -> None:
    return
