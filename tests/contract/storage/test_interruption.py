"""Whatever is cancelled, wherever: either it is done or nothing is, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any

import pytest

from pvc.units import MIB
from tests.contract.storage.harness import AnyPool, Harness
from tests.parts.interruption import cut_at

SIZE = 12 * MIB
Step = Callable[[AnyPool], Coroutine[Any, Any, object]]


async def upload(pool: AnyPool) -> None:
    async with pool.draft("disk0") as draft:
        for _ in range(SIZE // MIB):
            await draft.write(b"n" * MIB)
        await draft.commit()


async def scratch(pool: AnyPool) -> None:
    async with pool.scratch("disk0", SIZE) as draft:
        for _ in range(SIZE // MIB):
            await draft.write(b"n" * MIB)
        await draft.flush()


async def test_an_interrupted_upload_leaves_the_old_or_the_new_content(pool: AnyPool, harness: Harness) -> None:
    old, new = b"o" * SIZE, b"n" * SIZE
    await pool.create("disk0", SIZE)
    seen = set()
    for suspension in count():
        harness.fill("disk0", old)
        cut = await cut_at(upload(pool), suspension)
        content = harness.content("disk0")
        assert content in (old, new)
        assert await harness.hidden() == []
        seen.add(content == new)
        if not cut:
            break
        assert suspension < 1000
    assert seen == {False, True}
    assert suspension > 5


STEPS: dict[str, Step] = {
    "create": lambda pool: pool.create("disk1", MIB),
    "resize": lambda pool: pool.resize("disk0", 2 * SIZE),
    "rename": lambda pool: pool.rename("disk0", "disk1"),
    "clone": lambda pool: pool.clone("disk0", "disk1"),
    "remove": lambda pool: pool.remove("bare"),
    "snapshot": lambda pool: pool.snapshot("disk0", "other"),
    "rename snapshot": lambda pool: pool.rename_snapshot("disk0", "snap", "other"),
    "remove snapshot": lambda pool: pool.remove_snapshot("disk0", "snap"),
    "roll back": lambda pool: pool.roll_back("disk0", "snap"),
    "scratch": scratch,
}


@pytest.mark.parametrize("name", STEPS)
async def test_an_interrupted_change_is_done_or_not(harness: Harness, pool: AnyPool, name: str) -> None:
    async def prepare() -> None:
        for volume in await pool.volumes():
            for snap in await pool.snapshots(volume.name):
                await pool.remove_snapshot(volume.name, snap.name)
            await pool.remove(volume.name)
        await pool.create("bare", MIB)
        await pool.create("disk0", MIB)
        harness.fill("disk0", b"old")
        await pool.snapshot("disk0", "snap")
        harness.fill("disk0", b"new")

    outcomes = await _outcomes(STEPS[name], prepare, lambda: _state(pool, harness), pool)
    assert len(outcomes) <= 2


async def _outcomes(
    step: Step, prepare: Callable[[], Awaitable[None]], state: Callable[[], Awaitable[str]], pool: AnyPool
) -> set[str]:
    """The states that `step` leaves when it is cut at each of its awaits, and when it is not."""
    await prepare()
    outcomes = {await state()}
    for suspension in count():
        await prepare()
        cut = await cut_at(step(pool), suspension)
        outcomes.add(await state())
        if not cut:
            return outcomes
    return outcomes


async def _state(pool: AnyPool, harness: Harness) -> str:
    volumes = await pool.volumes()
    assert await harness.hidden() == []
    return repr(
        [
            (
                volume.name,
                volume.size,
                harness.content(volume.name)[:3],
                [s.name for s in await pool.snapshots(volume.name)],
            )
            for volume in volumes
        ]
    )
