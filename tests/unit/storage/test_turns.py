"""Whose turn it is to write, where several drafts of one pool have something to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from pvc.storage.draft import Writers


class Waiting(Executor):
    """Does nothing of itself. begun: which file each write was for, in order."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.under_way: list[Future[Any]] = []

    def submit(self, _work: Callable[..., Any], /, *args: Any, **_more: Any) -> Future[Any]:
        self.begun.append(args[0])
        self.under_way.append(Future())
        return self.under_way[-1]


async def test_a_draft_that_comes_later_writes_every_other_time() -> None:
    disk = Waiting()
    writers = Writers(disk)

    async def upload(file: int, buffers: int) -> None:
        for number in range(buffers):
            await writers.write(file, writers.take(), 0, number)

    first, second = asyncio.create_task(upload(1, 20)), None
    while disk.begun != [1] * 20 + [2] * 3 and len(disk.begun) < 23:
        for _ in range(5):  # as long as anybody can go on
            await asyncio.sleep(0)
        second = second or asyncio.create_task(upload(2, 3))
        await asyncio.sleep(0)
        disk.under_way.pop(0).set_result(None)
    assert disk.begun[:10] == [1, 1, 1, 1, 1, 2, 1, 2, 1, 2]
    await asyncio.gather(first, second or first)
