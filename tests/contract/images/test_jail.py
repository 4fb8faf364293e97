"""The jail by itself: what a program in it can see, take and leave running."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from pvc.config import Upload
from pvc.errors import ConversionFailed
from pvc.images.convert import Work, convert
from pvc.storage.base import Draft
from pvc.storage.directory import DirectoryPool
from pvc.units import MIB
from tests.contract.images import uploads
from tests.contract.images.conftest import SIZE
from tests.contract.images.uploads import is_untouched
from tests.contract.storage.harness import DirectoryHarness

pytestmark = pytest.mark.real


@pytest.fixture
def pool(directory: DirectoryPool) -> DirectoryPool:
    return directory


async def run(
    pool: DirectoryPool, program: list[str], image: bytes = b"image", limits: Upload | None = None
) -> list[float]:
    """Run `program` where qemu-img would run, then commit; returns what it reported."""
    told: list[float] = []
    async with pool.draft("disk0") as target, pool.scratch("disk0", SIZE) as source:
        await source.write(image)
        await source.flush()
        await _convert(source, target, program, limits or Upload(), told)
        await target.commit()
    return told


async def _convert(source: Draft, target: Draft, program: list[str], limits: Upload, told: list[float]) -> None:
    await convert(Work(source, target, "qcow2", "local", limits, told.append, program))


def python(code: str) -> list[str]:
    return ["/usr/bin/python3", "-I", "-S", "-c", code]


async def seen(pool: DirectoryPool, code: str) -> str:
    """What the Python code prints inside."""
    await run(pool, python(f"import os, socket, sys\nsys.stdout = open('/out', 'r+')\n{code}\nsys.stdout.flush()"))
    return Path(pool.source("disk0").path).read_bytes().rstrip(b"\0").decode()


async def test_the_jail_holds_two_files_and_the_programs(pool: DirectoryPool) -> None:
    names = await seen(pool, "print(*sorted(os.listdir('/')), *os.listdir('/dev'), *os.listdir('/etc'))")
    assert set(names.split()) == {"bin", "dev", "etc", "in", "lib", "lib64", "out", "usr", "null", "ld.so.cache"}


async def test_the_environment_is_clean(pool: DirectoryPool) -> None:
    names = await seen(pool, "print(*sorted(os.environ))")
    assert set(names.split()) - {"LC_CTYPE", "PWD"} == {"LC_ALL", "MALLOC_ARENA_MAX", "PATH"}


async def test_there_is_no_network(pool: DirectoryPool) -> None:
    assert (await seen(pool, "print(*(name for _, name in socket.if_nameindex()))")).split() == ["lo"]


async def test_the_source_cannot_be_written_and_nothing_can_be_made(pool: DirectoryPool) -> None:
    code = """
for path in ("/in", "/usr/new", "/usr/share/common-licenses/Apache-2.0"):
    try:
        open(path, "r+" if path != "/usr/new" else "w")
    except OSError as exc:
        print(exc.strerror)
"""
    assert (await seen(pool, code)).splitlines() == ["Read-only file system"] * 3


async def test_no_privilege_is_left(pool: DirectoryPool) -> None:
    code = """
import ctypes
libc = ctypes.CDLL(None)
bounding_set = [libc.prctl(23, capability, 0, 0, 0) for capability in range(41)]
print(libc.prctl(39, 0, 0, 0, 0), bounding_set.count(1), libc.unshare(0x10000000))
"""
    no_new_privileges, bounding_set, new_namespace = (await seen(pool, code)).split()
    assert (no_new_privileges, bounding_set, new_namespace) == ("1", "0", "-1")


@pytest.mark.parametrize("option", ["backing_file={canary},backing_fmt=raw", "data_file={canary},data_file_raw=on"])
async def test_past_inspection_a_host_file_still_cannot_be_read(
    pool: DirectoryPool, tmp_path: Path, option: str
) -> None:
    canary, image = tmp_path / "canary", tmp_path / "hostile.qcow2"
    canary.write_bytes(b"CANARY")
    uploads.run("qemu-img", "create", "-q", "-f", "qcow2", "-o", option.format(canary=canary), image, str(SIZE))
    canary.write_bytes(b"CANARY".ljust(SIZE, b"!"))
    assert str(canary).encode() in image.read_bytes()
    with pytest.raises(ConversionFailed, match="Could not open"):
        await run(pool, ["qemu-img"], image.read_bytes())
    assert await is_untouched(pool, DirectoryHarness(_folder(pool)))


async def test_progress_is_passed_on(pool: DirectoryPool) -> None:
    code = (
        "import sys\nfor n in (0, 12.5, 100):\n    sys.stdout.write(f'    ({n:.2f}/100%)\\r')\n    sys.stdout.flush()"
    )
    told = await run(pool, python(code))
    assert told[-1] == 1.0
    assert set(told) <= {0.0, 0.125, 1.0}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("bytearray(1 << 30)", "needed more than its limit of 256M of memory"),
        ("while True: pass", "took more than its limit of 1 s of CPU time"),
        ("import signal, time; signal.pthread_sigmask(0, range(1, 65)); time.sleep(3600)", "did not end within 4 s"),
        (
            "open('/out', 'r+b').seek(8 << 20)\nf = open('/out', 'ab'); f.write(b'x' * 9); f.flush()",
            "wrote more than the volume's",
        ),
        ("raise SystemExit('qemu-img: Could not open \\'/in\\': it is bad')", "Could not open the image: it is bad$"),
        ("raise SystemExit(3)", "qemu-img ended with 3$"),
    ],
)
async def test_what_outgrows_its_limits_is_killed_and_the_limit_named(
    pool: DirectoryPool, code: str, said: str
) -> None:
    limits = Upload(convert_memory_bytes=256 * MIB, convert_cpu_s=1)
    with pytest.raises(ConversionFailed, match=said):
        await run(pool, python(code), limits=limits)
    assert await is_untouched(pool, DirectoryHarness(_folder(pool)))


async def test_cancelling_leaves_no_process(pool: DirectoryPool) -> None:
    started = asyncio.Event()
    code = "import sys, time\nsys.stdout.write('(1.00/100%)'); sys.stdout.flush()\ntime.sleep(3600)"

    async def start() -> None:
        async with pool.draft("disk0") as target, pool.scratch("disk0", SIZE) as source:
            await convert(Work(source, target, "qcow2", "local", Upload(), lambda _: started.set(), python(code)))

    task = asyncio.ensure_future(start())
    await started.wait()
    running = _jailed_processes(pool)
    assert running
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _jailed_processes(pool) == []
    assert await is_untouched(pool, DirectoryHarness(_folder(pool)))


def _jailed_processes(pool: DirectoryPool) -> list[str]:
    """Processes that have this pool's folder in their command line."""
    done = subprocess.run(["pgrep", "-f", str(_folder(pool))], capture_output=True, text=True)
    return done.stdout.split()


def _folder(pool: DirectoryPool) -> Path:
    return Path(pool.source("disk0").path).parent
