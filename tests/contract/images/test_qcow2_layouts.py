"""Whatever an image looks like inside, what qemu-img makes of it is what the volume holds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from pvc.images import qcow2tables
from pvc.storage.directory import DirectoryPool
from pvc.units import KIB, MIB
from tests.contract.images.uploads import pieces, upload
from tests.contract.storage.harness import DirectoryHarness
from tests.parts.qemu import build, converted, differing, virtual_size

pytestmark = pytest.mark.real

PIECES = [50_001, 64 * KIB, 7 * MIB]
CREATE = "img create -f qcow2"
CONVERT = "img convert -f raw -O qcow2"
BORDERS = "write -P 1 0 64k; write -P 2 511M 3M; write -P 3 1023M 2M; write -P 4 1535M 70k; write -P 5 3071M 1M"


def scattered(seed: int, size: int, count: int = 40) -> str:
    """Writes in any order, some over others; size: of the disk, in KiB."""
    source = random.Random(seed)
    return ";".join(
        f"write -P {n + 1} {source.randrange(0, size - 200)}k {source.randint(1, 200)}k" for n in range(count)
    )


def clusters(pattern: int, numbers: Sequence[int], options: str = "") -> str:
    return ";".join(f"write {options} -P {pattern + n % 100} {n * 64}k 64k" for n in numbers)


PLAIN: dict[str, list[str]] = {
    "as converted": [CONVERT + " {mixed} {image}"],
    "converted out of order": [CONVERT + " -W -m 8 {mixed} {image}"],
    "random order": [CREATE + " {image} 8M", "io {image} " + scattered(1, 8192)],
    "backwards": [CREATE + " {image} 8M", "io {image} " + clusters(1, range(127, -1, -1))],
    "clusters of 128 KiB": [CREATE + " -o cluster_size=128k {image} 8M", "io {image} " + scattered(2, 8192)],
    "clusters of 2 MiB": [CREATE + " -o cluster_size=2M {image} 40M", "io {image} " + scattered(3, 40960)],
    "version 2": [CREATE + " -o compat=0.10 {image} 8M", "io {image} " + scattered(4, 8192)],
    "reference counts of a bit": [CREATE + " -o refcount_bits=1 {image} 8M", "io {image} " + scattered(5, 8192)],
    "dirty": [
        CREATE + " -o lazy_refcounts=on {image} 8M",
        "try {image} " + scattered(6, 8192) + ";flush;sigraise 9",
    ],
    "several tables": [CREATE + " {image} 4G", "io {image} " + BORDERS + ";write -P 9 4095M 1M"],
    "several tables backwards": [CREATE + " {image} 4G", "io {image} " + ";".join(reversed(BORDERS.split(";")))],
    "several tables, large clusters": [
        CREATE + " -o cluster_size=128k {image} 9G",
        "io {image} write -P 1 8191M 2M; write -P 2 2047M 2M; write -P 3 0 512; write -P 4 9215M 1M",
    ],
    **{
        f"preallocated {kind}": [
            CREATE + f" -o preallocation={kind} {{image}} 8M",
            "io {image} write -P 1 100k 1M; write -P 2 8000k 192k",
        ]
        for kind in ("metadata", "falloc", "full")
    },
    **{
        f"{size} bytes": [
            CREATE + f" {{image}} {size}",
            f"io {{image}} write -P 1 {size - 1024} 1024; write -P 2 0 512",
        ]
        for size in (1024, 512 * KIB + 512, MIB - 512, 8 * MIB - 4608, (1 << 30) + 512, (1 << 31) - 4096)
    },
    "empty": [CREATE + " {image} 8M"],
}
CHANGED: dict[str, list[str]] = {
    "zero clusters": [CONVERT + " {mixed} {image}", "io {image} write -z 64k 192k; write -z 1000k 5k; write -z 3M 1M"],
    "zero clusters that keep their place": [
        CONVERT + " {mixed} {image}",
        "io {image} write -z 0 1M; write -z -u 2M 1M; write -P 7 64k 64k",
    ],
    "discarded": [CONVERT + " {mixed} {image}", "io {image} discard 0 512k; discard 1M 1M; write -P 8 1100k 9k"],
    "discarded, version 2": [
        CONVERT + " -o compat=0.10 {mixed} {image}",
        "io {image} discard 0 512k; write -P 8 1100k 9k",
    ],
    "larger, with a new L1 table": [
        CREATE + " {image} 8M",
        "io {image} " + scattered(7, 8192),
        "img resize {image} 2G",
        "io {image} write -P 1 2047M 1M; write -P 2 600M 1M; write -P 3 9M 64k",
    ],
    "smaller": [
        CREATE + " {image} 2G",
        "io {image} write -P 1 0 1M; write -P 2 2000M 1M; write -P 3 7M 3M",
        "img resize -q --shrink {image} 8388096",
    ],
    "a snapshot": [CONVERT + " {mixed} {image}", "img snapshot -c one {image}", "io {image} " + scattered(8, 6000)],
    "snapshots, one deleted": [
        CONVERT + " {mixed} {image}",
        "img snapshot -c one {image}",
        "io {image} " + scattered(9, 6000),
        "img snapshot -c two {image}",
        "io {image} write -z 1M 1M; write -P 6 0 70k",
        "img snapshot -d one {image}",
        "io {image} " + scattered(10, 6000),
    ],
    "back at a snapshot": [
        CONVERT + " {mixed} {image}",
        "img snapshot -c one {image}",
        "io {image} " + scattered(11, 6000),
        "img snapshot -a one {image}",
        "io {image} write -P 1 2M 100k",
    ],
    "amended": [
        CONVERT + " -o compat=0.10 {mixed} {image}",
        "img amend -f qcow2 -o compat=1.1,lazy_refcounts=on {image}",
        "io {image} write -z 0 128k; write -P 1 5M 1M",
    ],
    "amended to version 2": [
        CONVERT + " {mixed} {image}",
        "io {image} write -z 0 128k; write -z 1M 300k",
        "img amend -f qcow2 -o compat=0.10 {image}",
    ],
    "amended reference counts": [CONVERT + " {mixed} {image}", "img amend -f qcow2 -o refcount_bits=64 {image}"],
    "rebased": [
        CONVERT + " {mixed} {other}",
        CREATE + " -b {other} -F qcow2 {image}",
        "io {image} " + scattered(12, 6000),
        'img rebase -b "" {image}',
    ],
    "committed": [
        CONVERT + " {mixed} {image}",
        CREATE + " -b {image} -F qcow2 {other}",
        "io {other} " + scattered(13, 6000) + ";write -z 3M 1M",
        "img commit -q {other}",
    ],
    "bitmaps": [
        CONVERT + " {mixed} {image}",
        "img bitmap --add {image} one",
        "io {image} " + scattered(14, 6000),
        "img bitmap --add --granularity 4096 {image} two",
        "io {image} " + scattered(15, 6000),
        "img bitmap --remove {image} one",
    ],
    "the end trimmed": [CREATE + " {image} 8M", "io {image} write -P 1 0 1M; write -P 2 7M 70k", "cut {image} 65000"],
}
PACKED: dict[str, list[str]] = {
    **{
        f"{kind} in {size}": [CONVERT + f" -c -o compression_type={kind},cluster_size={size} {{mixed}} {{image}}"]
        for kind in ("zlib", "zstd")
        for size in ("64k", "128k", "2M")
    },
    "packed out of order": [CONVERT + " -c -W -m 8 {mixed} {image}"],
    "packed, version 2": [CONVERT + " -c -o compat=0.10 {mixed} {image}"],
    "packed, the end not whole": [CONVERT + " -c {odd} {image}"],
    "packed, the end trimmed": [CONVERT + " -c {mixed} {image}", "cut {image} 100"],
    "plain over packed": [CONVERT + " -c {mixed} {image}", "io {image} " + scattered(20, 6000)],
    "packed among plain": [
        CREATE + " -o compression_type=zstd {image} 8M",
        "io {image} " + clusters(1, range(0, 100, 3)),
        "io {image} " + clusters(50, range(1, 100, 3), "-c"),
        "io {image} " + clusters(90, range(99, 1, -3)),
        "io {image} " + clusters(30, range(100, 110), "-c"),
    ],
    "a snapshot of packed": [
        CONVERT + " -c {mixed} {image}",
        "img snapshot -c one {image}",
        "io {image} " + scattered(21, 6000) + ";discard 4M 1M;write -z 100k 1M",
        "img snapshot -d one {image}",
        "io {image} " + scattered(22, 6000, 9),
    ],
    "packed, several tables": [
        CREATE + " {image} 2G",
        "io {image} " + clusters(1, [*range(8190, 8195), 0, *range(24575, 24578), *range(16380, 16390)], "-c"),
        "io {image} write -P 7 1000M 2M; write -P 8 1M 1M",
    ],
}
LAYOUTS = PLAIN | CHANGED | PACKED


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Raw disks of text, noise and zeroes: "mixed" of 6 MiB, "odd" of somewhat less."""
    folder = tmp_path_factory.mktemp("sources")
    source = random.Random(1)
    words = [source.randbytes(source.randint(2, 9)).hex().encode() for _ in range(3000)]
    text = b" ".join(source.choices(words, k=250_000))[: 2 * MIB]
    mixed = text + source.randbytes(MIB) + bytes(MIB) + text[:MIB] + bytes(100_000) + b"end"
    (folder / "mixed").write_bytes(mixed.ljust(6 * MIB, b"\0"))
    (folder / "odd").write_bytes(text[: 20 * 64 * KIB + 1536])
    return {name: folder / name for name in ("mixed", "odd")}


class Trial:
    """An image, what qemu-img says that it holds, and a pool with a volume for it."""

    def __init__(self, folder: Path, sources: dict[str, Path]) -> None:
        self.image, self._raw, self._folder = folder / "image", folder / "raw", folder
        self._paths = {"image": self.image, "other": folder / "other", **sources}

    def build(self, steps: Sequence[str]) -> None:
        build(steps, **self._paths)

    async def check(self, piece: int, *, verify: bool = False) -> None:
        assert converted(self.image, self._raw)
        harness = DirectoryHarness(self._folder / "pool")
        pool = await harness.open()
        try:
            await self._upload(pool, piece, verify)
            assert differing(Path(pool.source("disk0").path), self._raw) == []
            assert await harness.hidden() == []
            await pool.remove("disk0")
        finally:
            await pool.aclose()

    async def _upload(self, pool: DirectoryPool, piece: int, verify: bool) -> None:
        size = virtual_size(self.image)
        await pool.create("disk0", size)
        image = self.image.read_bytes()
        received = await upload(pool, pieces(image, piece), "qcow2", verify=verify)
        assert (received.received, received.virtual_size) == (len(image), size)


@pytest.fixture
def trial(tmp_path: Path, sources: dict[str, Path]) -> Trial:
    return Trial(tmp_path, sources)


@pytest.mark.parametrize("name", LAYOUTS)
async def test_what_qemu_img_makes_of_any_layout_is_what_the_volume_holds(trial: Trial, name: str) -> None:
    trial.build(LAYOUTS[name])
    for piece in PIECES:
        await trial.check(piece, verify=piece == PIECES[0])


@pytest.mark.parametrize("limit", [0, 1, 3])
@pytest.mark.parametrize("name", ["random order", "several tables", "snapshots, one deleted", "packed among plain"])
async def test_tables_that_tell_of_more_than_is_kept_in_memory_are_read_at_the_end(
    trial: Trial, name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qcow2tables, "_AHEAD_LIMIT", limit)
    trial.build(LAYOUTS[name])
    await trial.check(PIECES[0])


def any_steps(seed: int) -> list[str]:
    """What somebody may do with a disk of 8 MiB, in three sittings."""
    source = random.Random(seed)
    options = source.choice(["", "-o compression_type=zstd", "-o cluster_size=128k", "-o lazy_refcounts=on"])
    steps = [f"{CREATE} {options} {{image}} {8192 * KIB - source.choice([0, 512, 4096, 65536])}"]
    for sitting in range(3):
        steps.append("try {image} " + ";".join(_command(source) for _ in range(source.randint(1, 12))))
        if source.random() < 0.5:
            steps.append(f"img snapshot -c s{sitting} {{image}}")
    if steps[-1].startswith("img snapshot"):
        steps.append(steps[-1].replace("-c", "-d"))
    return [*steps, "try {image} " + _command(source)]


def _command(source: random.Random) -> str:
    first, count = source.randrange(60), source.randint(1, 4)
    place = f"{first * 128}k {count * 128}k"
    pattern = source.randint(1, 255)
    anywhere = f"write -P {pattern} {source.randrange(8000)}k {source.randint(1, 300) * 512}"
    packed = "; ".join(f"write -c -P {pattern} {(first + n) * 128}k 128k" for n in range(count))
    return source.choice([anywhere, anywhere, packed, packed, f"write -z {place}", f"discard {place}"])


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_was_done_to_a_disk(trial: Trial, seed: int) -> None:
    trial.build(any_steps(seed))
    await trial.check(PIECES[seed % 3], verify=seed % 2 == 0)
