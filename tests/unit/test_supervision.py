"""What the service manager is told: readiness once, and signs of life as long as the event loop turns."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvc.supervision import Ready, notify, watchdog_interval_s, watched


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


async def heard(manager: socket.socket) -> str:
    async with asyncio.timeout(30):
        return (await asyncio.get_running_loop().sock_recv(manager, 100)).decode()


async def test_ready_is_said_once_when_the_last_part_is(manager: socket.socket) -> None:
    ready = Ready("serve", "agent")
    ready.part("serve")()
    ready.part("serve")()
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    ready.part("agent")()
    ready.part("agent")()
    notify("the next")
    assert [await heard(manager), await heard(manager)] == ["READY=1", "the next"]


async def test_signs_of_life_come_as_long_as_the_loop_turns(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with watched():
        assert [await heard(manager) for _ in range(3)] == ["WATCHDOG=1"] * 3
    while not (said := await _next_or_end(manager)):
        pass
    assert said == "the end"


async def _next_or_end(manager: socket.socket) -> str:
    """Skip what was on its way when the watch ended."""
    notify("the end")
    said = await heard(manager)
    return "" if said == "WATCHDOG=1" else said


async def test_where_nobody_waits_for_signs_of_life_none_is_given(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    with watched():
        notify("the first")
        assert await heard(manager) == "the first"


@pytest.mark.parametrize(
    ("pid", "interval_s"), [("", 30.0), (str(os.getpid()), 30.0), (str(os.getppid()), 30.0), ("1", 0.0)]
)
def test_the_interval_is_half_of_what_this_process_is_given(
    monkeypatch: pytest.MonkeyPatch, pid: str, interval_s: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_interval_s() == interval_s


@pytest.mark.parametrize("told", ["", "soon", "-1"])
def test_what_is_no_interval_is_none(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", told)
    assert watchdog_interval_s() == 0.0


def test_a_service_manager_that_is_gone_does_no_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")
