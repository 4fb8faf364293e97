"""The last lines of a log, what it says from now on, and the log that the agent keeps itself."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from pvc.agent import console, logfile
from pvc.config import ConfigProblems

LATE = 30  # seconds after which a test that waits has failed


async def heard(lines: AsyncIterator[bytes], until: bytes) -> bytes:
    said = b""
    async with asyncio.timeout(LATE):
        while until not in said:
            said += await anext(lines)
    return said


@pytest.mark.parametrize("count", [0, 1, 3, 20_000, 100_000])
async def test_following_begins_with_the_last_lines_and_repeats_none(tmp_path: Path, count: int) -> None:
    """20,000 lines are more than are read at once."""
    path = tmp_path / "a.log"
    lines = [b"line %d of many\n" % number for number in range(30_000)]
    path.write_bytes(b"".join(lines))
    async with aclosing(console.follow(path, count)) as following:
        said = await anext(following)
        with path.open("ab") as file:
            file.write(b"the end\n")
        said += await heard(following, b"the end\n")
    assert said == b"".join([*(lines[-count:] if count else []), b"the end\n"])


async def test_lines_without_end_are_read_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    assert len(await console.tail(path, 10)) == 16 << 20


async def test_a_log_is_followed_over_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old\n")
    async with aclosing(console.follow(path, 10)) as following:
        assert await heard(following, b"old\n") == b"old\n"
        with path.open("ab") as file:
            file.write(b"last of the old\n")
        path.rename(tmp_path / "a.log.1")
        path.write_bytes(b"new\n")
        assert await heard(following, b"new\n") == b"last of the old\nnew\n"


async def test_a_log_that_appears_is_followed_and_others_in_its_folder_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    async with aclosing(console.follow(path, 10)) as following:
        first = asyncio.ensure_future(heard(following, b"one\n"))
        await asyncio.sleep(0)
        (tmp_path / "b.log").write_bytes(b"of another\n")
        path.write_bytes(b"one\n")
        assert await first == b"one\n"


def test_everything_logged_is_in_the_file_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "agent.log"
    log = logging.getLogger("pvc.test")
    with logfile.kept(path, 1 << 20):
        for number in range(500):
            log.warning("line %d", number)
        try:
            raise RuntimeError("with its traceback")
        except RuntimeError:
            log.exception("A problem")
    log.warning("too late")
    text = path.read_text()
    assert [line.split()[-1] for line in text.splitlines() if "pvc.test: line" in line] == [
        str(one) for one in range(500)
    ]
    assert " WARNING pvc.test: line 7\n" in text and "RuntimeError: with its traceback" in text
    assert "too late" not in text


def test_the_log_takes_no_more_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    dice = random.Random(1)
    with logfile.kept(path, 1 << 20):
        for _ in range(4000):
            logging.getLogger("pvc.test").warning("%s", dice.randbytes(400).hex())
    sizes = {one.name: one.stat().st_size for one in tmp_path.iterdir()}
    assert set(sizes) == {"agent.log", "agent.log.1"}
    assert sum(sizes.values()) <= 1 << 20


def test_a_log_that_cannot_be_written_is_refused_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "agent.log").mkdir()
    with pytest.raises(ConfigProblems) as caught, logfile.kept(tmp_path / "agent.log", 1 << 20):
        pass
    assert caught.value.problems == [f'agent.log_path "{tmp_path}/agent.log" cannot be written: Is a directory']
