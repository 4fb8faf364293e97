"""Every test here that takes the lab gets it whole, and leaves it so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import guest
from tests.lab.guests import HOME, SPARE, is_tick
from tests.lab.lab import Lab, Node
from tests.lab.mending import mend, repair


@pytest.fixture(autouse=True)
def _whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that takes `web` leaves it running to the next one of its module."""
    if "web" not in request.fixturenames:
        if "lab" in request.fixturenames:
            request.getfixturevalue("mended")
        yield
        return
    lab: Lab = request.getfixturevalue("lab")
    yield
    repair(lab)
    lab.shell.do("vm", "start", "web")


@pytest.fixture(scope="module")
def web(lab: Lab) -> Iterator[str]:
    """The UUID of a guest that lives through a whole module; "spare" is there to try whether the cluster works."""
    lab.shell.make_vm("web", guest.build().raw, node=HOME)
    lab.shell.define(SPARE, node=HOME)
    lab.shell.do("vm", "start", "web")
    lab.shell.hear("web", is_tick)
    yield str(lab.shell.vm("web")["uuid"])
    mend(lab)


@pytest.fixture
def node(lab: Lab) -> Node:
    """The guest's."""
    return lab.nodes[HOME]
