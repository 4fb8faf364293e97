"""The list of many VMs from a warm server, against reading ZooKeeper for each list, in the same run."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pvc.cluster.opening import open_state
from pvc.cluster.state import State
from pvc.model import domain
from pvc.model.records import VM, Node, NodeStatus, Observed, Power, encode
from pvc.store.access import Access
from pvc.store.base import Create, Put
from pvc.store.clustered import ClusteredSource
from tests.bench.api import API
from tests.bench.ground import Ground
from tests.bench.race import Contender, race, report
from tests.parts import documents
from tests.parts.serve import Serve
from tests.parts.zookeeper import ZooKeeper

NODES = 10
ROUNDS = 15

_AT_ONCE = 100
_NOTE = "Kept by the people who run it, who wrote down here what it is for and whom to ask. " * 15


def measure(ground: Ground, count: int) -> None:
    """count: of VMs."""
    with ZooKeeper() as zookeeper, asyncio.Runner() as runner:
        source = ClusteredSource([zookeeper.address], 20.0, Access())
        state = runner.run(open_state(source))
        with _served(ground, zookeeper) as (serve, empty_s):
            empty = _resident(serve)
        runner.run(_fill(state, count))
        with _served(ground, zookeeper) as (serve, full_s):
            full = _resident(serve)
            api = API(serve.folder / "pvc.sock")
            began = time.perf_counter()
            api.fetch("/vm")
            first_s = time.perf_counter() - began
            _race(runner, state, api, count, [str(ground.program), serve.url])
            listed = _resident(serve)
        runner.run(source.aclose())
    print(f"  ready after {full_s:.1f} s ({empty_s:.1f} s without VMs), first list after {first_s:.1f} s more")
    print(
        f"  memory of one VM ({len(encode(_vm(1)))} bytes as stored): {_kib(full - empty, count)} in the mirror,",
        end="",
    )
    print(f" {_kib(listed - empty, count)} when listed", flush=True)


def _kib(size: int, count: int) -> str:
    return f"{size / count / 1024:.1f} KiB"


@contextmanager
def _served(ground: Ground, zookeeper: ZooKeeper) -> Iterator[tuple[Serve, float]]:
    """Once it is ready, and the seconds it took."""
    folder = ground.folder / "cluster"
    folder.mkdir(exist_ok=True)
    store = f'kind = "zookeeper"\nhosts = ["{zookeeper.address}"]\nunprotected = true'
    began = time.perf_counter()
    with Serve(folder, ground.libvirtd.uri, program=[str(ground.program)], store=store) as serve:
        yield serve, time.perf_counter() - began


def _resident(serve: Serve) -> int:
    lines = Path(f"/proc/{serve.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))


def _vm(number: int) -> VM:
    name = f"vm{number:05}"
    devices = [documents.disk(f"local/{name}"), documents.disk(f"local/{name}_data", "vdb")]
    devices.append(documents.nic(f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"))
    own = str(uuid.UUID(int=number))
    xml = documents.vm(name, uuid=own, devices=devices, more=f"<description>{_NOTE}</description>")
    return VM(uuid=own, name=name, xml=domain.normalise(xml, new_uuid=own), node=f"hv{number % NODES}")


async def _fill(state: State, count: int) -> None:
    vms = [_vm(number) for number in range(count)]
    for start in range(0, count, _AT_ONCE):
        batch = vms[start : start + _AT_ONCE]
        records = [Create(state.paths.vm(vm.uuid), encode(vm)) for vm in batch]
        await state.store.commit(*records, *(Create(state.paths.vm_name(vm.name), vm.uuid.encode()) for vm in batch))
    for number in range(NODES):
        node = Node(name=f"hv{number}")
        seen = {vm.uuid: Observed(power=Power.RUNNING, run=0) for vm in vms if vm.node == node.name}
        await state.store.commit(
            Create(state.paths.node(node.name), encode(node)),
            Create(state.paths.node_status(node.name), encode(NodeStatus(vms=seen))),
        )


def _race(runner: asyncio.Runner, state: State, api: API, count: int, typed: Sequence[str]) -> None:
    """typed: how pvc is called, and the server's address."""
    program, url = typed

    def listed() -> None:
        if len(api.fetch("/vm")) < count * 1000:
            raise RuntimeError("The list is too short.")

    def changed() -> None:
        runner.run(_touch(state))
        listed()

    def chosen() -> None:
        if len(json.loads(api.fetch("/vm?limit=^vm00012$"))) != 1:
            raise RuntimeError("One VM should be chosen.")

    def completed() -> None:
        command = [program, "--complete", "-c", url, "vm", "start", "vm0001"]
        if len(subprocess.check_output(command).splitlines()) < 10:
            raise RuntimeError("Names are missing, or it took longer than completion waits.")

    api.ask("POST", "/network", vni="100", description="office", nettype="bridged")
    contenders = [
        Contender("reading ZooKeeper, and nothing else", lambda: runner.run(_read(state))),
        Contender("GET /vm", listed),
        Contender("GET /vm after a change of one VM", changed),
        Contender("GET /vm?limit=^vm00012$", chosen),
        Contender("GET /names?kind=vm&prefix=vm0001", lambda: api.fetch("/names?kind=vm&prefix=vm0001")),
        Contender("pvc --complete vm start vm0001", completed),
        Contender("GET /node", lambda: api.fetch("/node")),
        Contender(
            "POST /vm/vm00012/network, for its next start",
            lambda: api.ask("POST", "/vm/vm00012/network", net="100", live="false"),
        ),
    ]
    race(contenders, ROUNDS)
    report(f"A list of {count} VMs", contenders)


async def _read(state: State) -> None:
    keys = await state.store.children(state.paths.vms)
    await state.store.get_many([state.paths.vm(key) for key in keys])


async def _touch(state: State) -> None:
    path = state.paths.vm(_vm(12).uuid)
    entry = await state.store.get(path)
    await state.store.commit(Put(path, entry.value, entry.version))
