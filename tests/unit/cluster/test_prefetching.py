"""What a decision needs is read in one go, and means what it would mean read one by one."""

from __future__ import annotations

import pytest

from pvc.cluster import flushes, migrations, tasks
from pvc.cluster.state import Held
from pvc.model.flushing import FLUSH
from pvc.model.records import Observed, Power
from tests.unit.cluster.house import NODE, House

SEEN = Observed(power=Power.RUNNING, run=1)


async def test_a_view_of_the_nodes_has_what_the_store_has(house: House) -> None:
    await house.join()
    await house.publish(a=SEEN)
    for view in (await house.state.prefetch_nodes(), await house.state.prefetch_nodes({NODE})):
        assert await view.nodes() == await house.state.nodes()
        assert await view.node_alive(NODE)
        assert (await view.node_status(NODE)).vms == {"a": SEEN}


async def test_a_node_that_is_gone_is_dead_and_says_nothing(house: House) -> None:
    for view in (await house.state.prefetch_nodes(), await house.state.prefetch_nodes({NODE, "gone"})):
        assert [held.record.name for held in await view.nodes() if isinstance(held, Held)] == [NODE]
        assert not await view.node_alive("gone")
        assert (await view.node_status("gone")).vms == {}
        assert "does not answer" in await view.node_doubt("gone")


async def test_what_a_node_says_is_read_after_whether_it_lives(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an end in order between the two would look like a death."""
    asked: list[str] = []
    get_many = type(house.state.store).get_many

    async def note(self: object, paths: list[str]) -> object:
        asked.extend(paths)
        return await get_many(self, paths)  # type: ignore[arg-type]

    monkeypatch.setattr(type(house.state.store), "get_many", note)
    await house.state.prefetch_nodes()
    paths = house.state.paths
    assert asked.index(paths.node_alive(NODE)) < asked.index(paths.node_status(NODE))


async def test_how_far_a_flush_is_takes_nothing_from_who_calls_it_off(house: House) -> None:
    task = tasks.new(house.state, FLUSH, ("node", NODE), NODE, total=5)
    await house.state.store.commit(tasks.creation(house.state, task))
    held = await house.state.task(task.id)
    await migrations.cancel(house.other, task.id)
    await flushes.report(house.state, held, 3)
    assert (await house.state.task(task.id)).record.cancel
    await flushes.report(house.state, await house.state.task(task.id), 3)
    assert (await house.state.task(task.id)).record.done == 2
