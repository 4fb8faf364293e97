"""Who waits for what this node tells of a VM hears of it without asking the store."""

from __future__ import annotations

import pytest

from pvc.agent.telling import Telling
from pvc.cluster import nodes
from pvc.cluster.state import State
from pvc.errors import StoreUnavailable
from pvc.model.records import DaemonState, Node, NodeStatus, Observed, Power
from tests.unit.agent.lab import NODE, Lab

ON, OFF = Observed(power=Power.RUNNING, run=1), Observed(power=Power.OFF)


def status(**vms: Observed) -> NodeStatus:
    return NodeStatus(daemon=DaemonState.RUN, vms=vms)


@pytest.fixture
async def telling(lab: Lab) -> Telling:
    await nodes.join(lab.state, Node(name=NODE))
    made = Telling(NODE)
    made.begin(lab.state)
    return made


async def test_it_is_heard_what_is_told_of_a_vm_and_nothing_else(telling: Telling) -> None:
    await telling.tell(status(a=ON, b=ON))
    heard: list[str] = []
    ends = [telling.of_vm(vm)(lambda vm=vm: heard.append(vm)) for vm in ("a", "b")]  # type: ignore[misc]
    await telling.tell(status(a=ON, b=ON))
    await telling.tell(status(a=ON, b=ON, c=ON))
    assert heard == []
    await telling.tell(status(a=OFF, b=ON))
    assert heard == ["a"]
    await telling.tell(status(a=OFF))
    assert heard == ["a", "b"]
    ends[0]()
    await telling.tell(status(a=ON, b=ON))
    assert heard == ["a", "b", "b"]


async def test_it_is_heard_once_it_stands_there_though_its_writing_was_cut_off_before(
    telling: Telling, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await telling.tell(status(a=ON))
    heard: list[str] = []
    telling.of_vm("a")(lambda: heard.append("a"))
    publish = nodes.publish

    async def cut_off(state: State, name: str, status: NodeStatus) -> None:
        await publish(state, name, status)
        monkeypatch.setattr(nodes, "publish", publish)
        raise StoreUnavailable(reason="it may have happened")

    monkeypatch.setattr(nodes, "publish", cut_off)
    with pytest.raises(StoreUnavailable):
        await telling.tell(status(a=OFF))
    assert (heard, (await lab.status()).vms) == ([], {"a": OFF})
    await telling.tell(status(a=OFF))
    assert heard == ["a"]


async def test_a_new_session_tells_everything_anew(telling: Telling, lab: Lab) -> None:
    await telling.tell(status(a=ON))
    heard: list[str] = []
    telling.of_vm("a")(lambda: heard.append("a"))
    await nodes.publish(lab.state, NODE, status(b=ON))
    telling.begin(lab.state)
    assert await telling.last() == status(b=ON)
    await telling.tell(status(a=ON))
    assert (heard, (await lab.status()).vms) == (["a"], {"a": ON})
