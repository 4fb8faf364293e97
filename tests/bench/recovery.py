"""Backup and restore of many VMs through a server on ZooKeeper, against reading all of it from ZooKeeper as it is."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from pvc.cluster.opening import open_state
from pvc.model import backup
from pvc.model.backup import Taken
from pvc.store.access import Access
from pvc.store.clustered import ClusteredSource
from tests.bench.ground import Ground
from tests.machine.shell import Shell
from tests.parts.recovery import content
from tests.parts.serve import Serve
from tests.parts.zookeeper import ZooKeeper

NOTE = "Kept by the people who run it, who wrote down here what it is for and whom to ask. " * 15


def measure(ground: Ground, count: int) -> None:
    """count: of VMs."""
    folder = ground.folder / "recovery"
    folder.mkdir()
    given = folder / "given.json"
    given.write_bytes(backup.document(content(count, note=NOTE), "bench", Taken(at="", revision=0, generation="")))
    with ZooKeeper() as zookeeper:
        store = f'kind = "zookeeper"\nhosts = ["{zookeeper.address}"]\nunprotected = true'
        with Serve(folder, ground.libvirtd.uri, program=[str(ground.program)], store=store) as serve:
            shell = Shell(f"unix:{serve.folder}/pvc.sock")
            print(f"{count} VMs, a backup of {given.stat().st_size >> 20} MiB, ZooKeeper:")
            for what, words in _acts(given, folder / "taken.json"):
                began = time.perf_counter()
                shell.do("task", *words)
                print(f"  {what:34} {time.perf_counter() - began:6.1f} s", flush=True)
            _check(given, folder / "taken.json")
        began = time.perf_counter()
        asyncio.run(_read_all(zookeeper))
        print(f"  {'reading it from ZooKeeper':34} {time.perf_counter() - began:6.1f} s", flush=True)


def _acts(given: Path, taken: Path) -> list[tuple[str, list[str]]]:
    return [
        ("dry run", ["restore", "-f", str(given), "--dry-run", "--output", "json"]),
        ("restore into an empty cluster", ["restore", "-f", str(given), "-y", "--force", "--output", "json"]),
        ("restore over as many", ["restore", "-f", str(given), "-y", "--force", "--output", "json"]),
        ("backup", ["backup", "-f", str(taken)]),
    ]


def _check(given: Path, taken: Path) -> None:
    if json.loads(given.read_text())["sha256"] != json.loads(taken.read_text())["sha256"]:
        raise AssertionError("What was backed up is not what was restored.")


async def _read_all(zookeeper: ZooKeeper) -> None:
    source = ClusteredSource([zookeeper.address], 20.0, Access())
    state = await open_state(source)
    await state.vms()
    await source.aclose()
