"""qemu-img, which reads what strangers made: only in a jail, with limits, and told the format, never guessing it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from pvc.config import Upload
from pvc.errors import ConversionFailed, PoolFull, Unavailable
from pvc.images.jail import PATH, SOURCE, TARGET, Limits, inside, jailed
from pvc.storage.base import Draft
from pvc.storage.threads import in_thread, to_the_end
from pvc.units import format_size

_PROGRAMS = {"bwrap": "bubblewrap", "prlimit": "util-linux", "qemu-img": "qemu-utils"}  # and Debian's packages
_PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")
_NO_MEMORY = re.compile(r"allocate|MemoryError|qemu_thread_create|failed to map segment")
_INSIDE = {SOURCE: "the image", TARGET: "the volume"}
_INSIDE_NAME = re.compile(rf"(?<![\w/.])(['\"]?)({SOURCE}|{TARGET})\1(?![\w/])")
_WALL_FACTOR = 4  # a run that takes this many times its CPU limit hangs
_TAIL_BYTES = 4096
_REASON_CHARACTERS = 500
_DIFFERENT = 1  # status of qemu-img compare


@dataclass(frozen=True, slots=True)
class Work:
    """What qemu-img is to read and to write, and how.

    source: holds an image of the format; target: all zeroes, or what the image holds. report: gets the share done, 0 to
    1. program: stands in for qemu-img.
    """

    source: Draft
    target: Draft
    image_format: str
    pool: str
    limits: Upload
    report: Callable[[float], None]
    program: Sequence[str] = ("qemu-img",)

    @property
    def bounds(self) -> Limits:
        limits = self.limits
        return Limits(memory=limits.convert_memory_bytes, cpu_s=limits.convert_cpu_s, target=self.target.size)


async def convert(work: Work) -> None:
    """Write what the image in the source holds into the target; a killed run leaves no process.

    Raises ConversionFailed, PoolFull, Unavailable.
    """
    writing = ("-n", "--target-is-zero", "-O", "raw", "-t", await _cache(work.target), "-W", "-m", "8")
    status, said = await _run(work, ["convert", "-p", *writing, "-f", work.image_format])
    if status != 0:
        raise _failure(status, said, work)


async def is_equal(work: Work) -> bool:
    """Read both, and say whether the target holds what the image holds. Raises as `convert`."""
    cache = await _cache(work.target)
    status, said = await _run(work, ["compare", "-p", "-T", cache, "-f", work.image_format, "-F", "raw"])
    if status not in (0, _DIFFERENT) or said:
        raise _failure(status, said, work)
    return status == 0


async def _run(work: Work, arguments: Sequence[str]) -> tuple[int, str]:
    """Return the exit status and what was said on stderr. arguments: without the two files."""
    await in_thread(_check_programs)
    files = (inside(work.source, SOURCE), inside(work.target, TARGET))
    command = jailed([*work.program, *arguments, *files], work.source, work.target, work.bounds)
    deadline_s = work.limits.convert_cpu_s * _WALL_FACTOR
    try:
        async with asyncio.timeout(deadline_s), _running(command) as process:
            return await _follow(process, work.report)
    except TimeoutError as exc:
        raise ConversionFailed(reason=f"qemu-img did not end within {deadline_s} s") from exc


async def _cache(target: Draft) -> str:
    direct = bool(target.files) or await in_thread(_takes_direct, target.path)
    return "none" if direct else "writeback"


def _check_programs() -> None:
    for program, package in _PROGRAMS.items():
        if shutil.which(program, path=PATH) is None:
            raise Unavailable(what=f'The program "{program}"', reason=f'it is in Debian\'s package "{package}"')


def _takes_direct(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@asynccontextmanager
async def _running(command: Sequence[str]) -> AsyncIterator[Process]:
    """The process, with a process group of its own; killed to the last one when the context ends before it does."""
    environment = {"PATH": PATH, "LC_ALL": "C"}
    spawning = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
        )
    )
    try:
        yield await to_the_end(spawning)
    finally:
        if not spawning.exception():
            await _end(spawning.result())


async def _end(process: Process) -> None:
    """bwrap's second process outlives its first when that is killed too early: the group goes as one."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await to_the_end(asyncio.ensure_future(process.communicate()))


async def _follow(process: Process, report: Callable[[float], None]) -> tuple[int, str]:
    """Return the exit status and the end of what it said on stderr."""
    said, _ = await asyncio.gather(_tail(_stream(process.stderr)), _watch(_stream(process.stdout), report))
    return await process.wait(), said.decode(errors="replace")


def _stream(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise TypeError("the process has no pipe there")
    return stream


async def _watch(stdout: asyncio.StreamReader, report: Callable[[float], None]) -> None:
    while text := await stdout.read(_TAIL_BYTES):
        if seen := _PERCENT.findall(text):
            report(float(seen[-1]) / 100)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    tail = b""
    while text := await stream.read(_TAIL_BYTES):
        tail = (tail + text)[-_TAIL_BYTES:]
    return tail


def _failure(status: int, said: str, work: Work) -> Exception:
    if said.startswith("bwrap: "):
        return Unavailable(what="The jail for qemu-img", reason=_cleaned(said))
    if "No space left on device" in said:
        return PoolFull(name=work.pool)
    return ConversionFailed(
        reason=_limit_hit(status, said, work.bounds) or _cleaned(said) or f"qemu-img ended with {status}"
    )


def _limit_hit(status: int, said: str, limits: Limits) -> str:
    """bwrap ends with 128 + N when signal N ended the program."""
    if status in (128 + signal.SIGXCPU, 128 + signal.SIGKILL):
        return f"qemu-img took more than its limit of {limits.cpu_s} s of CPU time"
    if status == 128 + signal.SIGXFSZ or "File too large" in said:
        return f"qemu-img wrote more than the volume's {limits.target} bytes"
    if _NO_MEMORY.search(said):
        return f"qemu-img needed more than its limit of {format_size(limits.memory)} of memory"
    return ""


def _cleaned(said: str) -> str:
    """One line without what means nothing outside the jail."""
    lines = [line.strip().removeprefix("qemu-img: ") for line in said.splitlines()]
    text = "; ".join(line for line in lines if line)
    text = _INSIDE_NAME.sub(lambda match: _INSIDE[match[2]], text)
    return "".join(character for character in text if character.isprintable())[:_REASON_CHARACTERS]
