"""Nodes come, wait, leave and are forgotten; VMs are placed on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from pvc.cluster import nodes, placing, vms
from pvc.cluster.state import Held, State
from pvc.errors import Changed, Conflict, InUse, InvalidInput, NodeUnavailable, NoRoom, NotFound
from pvc.model.records import (
    VM,
    DaemonState,
    Desired,
    DomainState,
    Node,
    NodeStatus,
    Observed,
    Power,
    Selector,
    encode,
)
from pvc.store.base import Operation, Put, Store
from pvc.units import GIB, MIB
from tests.unit.cluster.house import NODE, House

TIMEOUT_S = 10.0
FACTS: dict[str, Any] = {"daemon": DaemonState.RUN, "memory_total": 8 * GIB, "memory_free": 8 * GIB, "cpu_count": 4}
BOUND = 'agent.replaces = "one"'


def machine(name: str) -> Node:
    return Node(name=NODE, peer=f"unix:/{name}", machine=name)


async def word(state: State) -> str:
    return (await nodes.signs(state, (await state.node(NODE)).record)).daemon_state


async def change(state: State, new: Node) -> None:
    held = await state.node(new.name)
    await state.store.commit(Put(state.paths.node(new.name), encode(new), held.version))


async def until_seen_to_wait(state: State, why: str) -> None:
    async with asyncio.timeout(TIMEOUT_S), state.store.watch(state.paths.node_waiting(NODE)) as watch:
        while (waiting := await state.node_waiting(NODE)) is None or why not in waiting.reason:
            await watch.wait()


class Late:
    """A store in which something happens just before the first change is written."""

    def __init__(self, store: Store, act: Callable[[], Awaitable[object]]) -> None:
        self._store, self._acts = store, [act]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, *operations: Operation) -> None:
        while self._acts:
            await self._acts.pop()()
        await self._store.commit(*operations)


def late(state: State, act: Callable[[], Awaitable[object]]) -> State:
    store: Any = Late(state.store, act)
    return State(reader=store, paths=state.paths)


async def test_a_node_that_joins_begins_and_is_recorded(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    assert (await house.state.node(NODE)).record == machine("one")
    assert await word(house.state) == "init"
    await nodes.publish(house.other, NODE, NodeStatus(daemon=DaemonState.RUN))
    assert await word(house.state) == "run"


async def test_an_end_in_order_is_told_from_a_death(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    await nodes.publish(house.other, NODE, NodeStatus(daemon=DaemonState.RUN, kernel="6.1"))
    await nodes.leave(house.other, NODE)
    assert await word(house.state) == "stop"
    assert (await house.state.node_status(NODE)).kernel == "6.1"
    await nodes.join(house.other, machine("one"))
    await house.other.store.aclose()
    assert await word(house.state) == "dead"


async def test_to_leave_twice_is_to_leave(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    await nodes.leave(house.other, NODE)
    await nodes.leave(house.other, NODE)
    assert await word(house.state) == "stop"


async def test_joining_keeps_what_the_server_wrote_and_what_was_seen(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    await change(house.state, replace(machine("one"), domain_state=DomainState.FLUSHED))
    await house.publish(u=Observed(power=Power.RUNNING))
    await nodes.leave(house.other, NODE)
    await nodes.join(house.other, replace(machine("one"), pvc_version="2"))
    record = (await house.state.node(NODE)).record
    assert (record.domain_state, record.pvc_version) == (DomainState.FLUSHED, "2")
    assert (await house.state.node_status(NODE)).vms == {"u": Observed(power=Power.RUNNING)}


async def test_a_second_agent_waits_is_seen_and_takes_nothing_over(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    second = asyncio.create_task(nodes.join(house.state, machine("two")))
    await until_seen_to_wait(house.other, 'machine "one" is this node and alive')
    assert (await house.state.node(NODE)).record.peer == "unix:/one"
    signs = await nodes.signs(house.other, machine("one"))
    assert '"two"' in signs.rival
    second.cancel()


async def test_the_place_of_a_machine_that_died_is_not_taken_by_another(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    second = asyncio.create_task(nodes.join(house.state, machine("two")))
    await until_seen_to_wait(house.state, "alive")
    await house.other.store.aclose()
    await until_seen_to_wait(house.state, BOUND)
    assert not second.done()
    assert not await house.state.node_alive(NODE)
    assert await word(house.state) == "dead"
    assert (await house.state.node(NODE)).record.machine == "one"
    second.cancel()


async def test_a_machine_that_is_said_to_replace_another_takes_its_place(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    await house.other.store.aclose()
    async with asyncio.timeout(TIMEOUT_S):
        await nodes.join(house.state, machine("two"), replaces="one")
    assert (await house.state.node(NODE)).record == machine("two")


async def test_an_agent_that_ends_in_order_leaves_its_place_to_no_other_machine(house: House) -> None:
    """Its guests go on: whoever restarts it would find them running twice."""
    await nodes.join(house.other, machine("one"))
    second = asyncio.create_task(nodes.join(house.state, machine("two")))
    await until_seen_to_wait(house.state, "alive")
    await nodes.leave(house.other, NODE)
    await until_seen_to_wait(house.state, BOUND)
    await nodes.join(house.other, machine("one"))
    await until_seen_to_wait(house.state, "alive")
    assert not second.done()
    second.cancel()


async def test_a_node_that_lives_is_not_forgotten(house: House) -> None:
    await house.join()
    before = await house.everything()
    with pytest.raises(Conflict, match='Node "hv1" is alive'):
        await nodes.remove(house.state, NODE)
    assert await house.everything() == before


async def test_a_node_with_vms_is_not_forgotten_and_they_are_named(house: House) -> None:
    await house.define("b")
    await house.define("a")
    before = await house.everything()
    with pytest.raises(InUse, match='Node "hv1" is in use by VM "a", VM "b"'):
        await nodes.remove(house.state, NODE)
    assert await house.everything() == before


async def test_a_node_that_left_is_forgotten_and_may_come_again(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    await house.other.store.aclose()
    await nodes.remove(house.state, NODE)
    assert await house.state.nodes() == []
    with pytest.raises(NotFound):
        await nodes.remove(house.state, NODE)
    await nodes.join(house.state, machine("two"))
    assert (await house.state.node(NODE)).record.machine == "two"


async def test_a_node_whose_record_cannot_be_read_can_be_forgotten(house: House) -> None:
    path = house.state.paths.node(NODE)
    await house.state.store.commit(Put(path, b"{", 0))
    await nodes.remove(house.state, NODE)
    assert await house.state.nodes() == []


async def test_who_waits_for_a_name_that_is_forgotten_has_it(house: House) -> None:
    await nodes.join(house.other, machine("one"))
    second = asyncio.create_task(nodes.join(house.state, machine("two")))
    await until_seen_to_wait(house.state, "alive")
    await house.other.store.aclose()
    await until_seen_to_wait(house.state, BOUND)
    await nodes.remove(house.state, NODE)
    async with asyncio.timeout(TIMEOUT_S):
        await second
    assert (await house.state.node(NODE)).record.machine == "two"


async def test_a_vm_that_comes_while_its_node_is_forgotten_keeps_the_node(house: House) -> None:
    state = late(house.state, lambda: vms.define(house.other, house.pools, house.vm()))
    with pytest.raises(InUse):
        await nodes.remove(state, NODE)
    assert (await house.state.node(NODE)).record.name == NODE


async def test_a_vm_is_not_defined_on_a_node_that_was_forgotten_meanwhile(house: House) -> None:
    state = late(house.other, lambda: nodes.remove(house.state, NODE))
    with pytest.raises(NodeUnavailable, match="changed or removed meanwhile"):
        await vms.define(state, house.pools, house.vm())
    assert await house.state.readable_vms() == []
    with pytest.raises(NotFound, match='No node "hv1"'):
        await vms.define(house.other, house.pools, house.vm())


async def test_a_node_that_comes_back_while_it_is_forgotten_stays(house: House) -> None:
    state = late(house.state, lambda: nodes.join(house.other, machine("one")))
    with pytest.raises(Changed):
        await nodes.remove(state, NODE)
    assert await house.state.node_alive(NODE)


async def joined(state: State, name: str, **more: Any) -> None:
    await nodes.join(state, Node(name=name))
    await nodes.publish(state, name, NodeStatus(**{**FACTS, **more}))


async def chosen(house: House, wanted: str | None = None, vm: VM | None = None) -> str:
    return await placing.choose(house.state, wanted, vm or house.vm("new"), Selector.MEMPROV)


async def test_a_new_vm_goes_where_the_least_was_promised(house: House) -> None:
    for name in ("hv1", "hv2"):
        await joined(house.other, name)
    assert await chosen(house) == "hv1"
    await house.define("a")
    assert await chosen(house) == "hv2"
    assert await chosen(house, "hv1") == "hv1"
    with pytest.raises(NotFound):
        await chosen(house, "hv3")


async def test_what_is_to_run_counts_before_it_runs(house: House) -> None:
    await joined(house.other, "hv1", memory_free=8 * GIB, memory_total=100 * MIB)
    await joined(house.other, "hv2", memory_free=MIB)
    assert await chosen(house) == "hv1"
    vm = await house.define("a")
    assert await chosen(house) == "hv1", "a stopped one takes nothing"
    held: Held[VM] = await house.state.vm(vm.uuid)
    await house.state.write_vm(held, replace(held.record, desired=Desired.RUNNING))
    with pytest.raises(NoRoom, match='VM "new" fits no node: hv1: needs 64 MiB, 36 MiB free'):
        await chosen(house)


async def test_a_node_that_is_not_fit_is_passed_over_and_explained(house: House) -> None:
    await joined(house.other, "hv1", problem="no libvirtd")
    await joined(house.other, "hv2", memory_free=64 * MIB, memory_reserve=MIB)
    await joined(house.other, "hv3")
    await change(house.state, Node(name="hv3", domain_state=DomainState.FLUSH))
    with pytest.raises(NoRoom) as caught:
        await chosen(house)
    assert str(caught.value) == (
        'VM "new" fits no node: hv1: has a problem: no libvirtd; hv2: needs 64 MiB, 63 MiB free; hv3: is not ready '
        "but flush."
    )


async def test_the_only_node_there_is_takes_what_it_cannot_start_now(house: House) -> None:
    await joined(house.other, "hv1", problem="no libvirtd", memory_free=0)
    assert await chosen(house) == "hv1"


async def test_a_vm_stays_within_its_nodes(house: House) -> None:
    for name in ("hv1", "hv2"):
        await joined(house.other, name)
    vm = replace(house.vm("new"), node_limit=("hv2",))
    assert await chosen(house, None, vm) == "hv2"
    with pytest.raises(InvalidInput, match='is not among those of "limit": hv2'):
        await chosen(house, "hv1", vm)


async def test_without_an_agent_there_is_no_node(house: House) -> None:
    with pytest.raises(NodeUnavailable, match="no agent runs"):
        await chosen(house)


async def test_a_blob_is_written_over_whatever_stands_there(house: House) -> None:
    await house.join()
    for _ in range(2):
        await nodes.publish(house.other, NODE, NodeStatus(kernel="6.1"))
    path = house.state.paths.node_status(NODE)
    with pytest.raises(Changed):
        await house.state.store.commit(Put(path, b"", 0))
