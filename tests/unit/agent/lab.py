"""An agent on a fake hypervisor, a real store and a real pool; its clock stands still unless a test moves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from pvc.agent.reconcile import Reconciler
from pvc.agent.records import followed
from pvc.agent.settings import Settings
from pvc.cluster import devices, nodes, power, tasks, vms
from pvc.cluster.devices import When
from pvc.cluster.opening import open_state
from pvc.cluster.state import State
from pvc.errors import AlreadyExists
from pvc.hypervisor.fake import FakeHypervisor
from pvc.model import domain
from pvc.model.records import VM, Node, NodeStatus, Observed, Task, encode
from pvc.storage.directory import DirectoryPool
from pvc.store.base import Create, Source
from pvc.units import MIB
from tests.parts import documents

NODE = "hv1"
TIMEOUT_S = 20.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Agent:
    """A running one. looked: set after each look."""

    task: asyncio.Task[None]
    state: State
    looked: asyncio.Event = field(default_factory=asyncio.Event)


async def session(reconciler: Reconciler, state: State, ready: Callable[[], None]) -> None:
    """One of an agent that has joined."""
    async with followed(state, NODE, reconciler.wake) as records:
        await reconciler.run(state, records, ready)


class Lab:
    def __init__(self, source: Source, state: State, pool: DirectoryPool, folder: Path) -> None:
        self.source, self.state, self.pool = source, state, pool
        self.pools = {pool.name: pool}
        self.hypervisor, self.clock = FakeHypervisor(), Clock()
        self.away = ""  # why the hypervisor is away, when it is
        self.links = folder / "links"
        (self.links / "vmbr100").mkdir(parents=True)
        self.settings = Settings(
            node=NODE,
            console_path=str(folder / "consoles"),
            interval_s=3600,
            detach_timeout_s=0.05,
            links_path=str(self.links),
        )

    def reconciler(self) -> Reconciler:
        return Reconciler(self.hypervisor, self.pools, self.settings, self.clock)

    @asynccontextmanager
    async def agent(self, reconciler: Reconciler | None = None) -> AsyncIterator[Agent]:
        """A fresh one, or one that goes on, on a new session of the store."""
        state = await open_state(self.source)
        await nodes.join(state, Node(name=NODE))
        looked = asyncio.Event()
        running = session(reconciler or self.reconciler(), state, looked.set)
        agent = Agent(asyncio.create_task(running), state, looked)
        try:
            await self.look(agent)
            yield agent
        finally:
            agent.task.cancel()
            await asyncio.gather(agent.task, return_exceptions=True)
            await state.store.aclose()

    async def look(self, agent: Agent) -> None:
        """Return when the agent has looked at everything anew, and at what came of it."""
        for _ in range(4):
            agent.looked.clear()
            self.hypervisor.go_away(self.away)  # an event that says nothing
            async with asyncio.timeout(TIMEOUT_S):
                await agent.looked.wait()

    async def wait_s(self, agent: Agent, seconds: float) -> None:
        """Let the agent's clock go on."""
        self.clock.now += seconds
        await self.look(agent)

    async def define(self, name: str = "web1", extra: Sequence[str] = (), *, node: str = NODE) -> str:
        """A VM with a disk of its own; returns its UUID."""
        await self.pool.create(name, MIB)
        text = documents.vm(name, devices=[documents.disk(f"local/{name}"), *extra])
        uuid = self.state.new_uuid()
        xml = domain.normalise(text, new_uuid=uuid)
        with suppress(AlreadyExists):
            await self.state.store.commit(Create(self.state.paths.node(node), encode(Node(name=node))))
        await vms.define(self.state, self.pools, VM(uuid=uuid, name=name, xml=xml, node=node))
        return uuid

    async def running(self, name: str = "web1") -> str:
        """A VM that runs."""
        uuid = await self.define(name)
        await self.ask(name, "start")
        await self.becomes(uuid, lambda vm, seen: seen.power == "running" and seen.run == vm.run)
        return uuid

    async def ask(self, name: str, action: str, *, force: bool = False, deadline_s: float | None = None) -> VM:
        return await power.ask(self.state, name, action, force=force, deadline_s=deadline_s)

    async def vm(self, uuid: str) -> VM:
        return (await self.state.vm(uuid)).record

    async def observed(self, uuid: str) -> Observed:
        return await self.state.observed(await self.vm(uuid))

    async def status(self) -> NodeStatus:
        return await self.state.node_status(NODE)

    async def becomes(self, uuid: str, true: Callable[[VM, Observed], bool]) -> Observed:
        _held, seen = await power.watch_until(self.state, await self.vm(uuid), true, "It", TIMEOUT_S)
        return seen

    async def change(self, uuid: str, action: str, device: str, when: When = When.LIVE) -> Task | None:
        held = await self.state.vm(uuid)
        return await devices.change(self.state, held, action, device, when=when, who="me", timeout_s=TIMEOUT_S)

    async def asked(self, uuid: str, action: str, device: str) -> Task:
        """A task that holds the VM and that no agent has seen yet."""
        return await self.entrusted(uuid, action, {"device": device})

    async def entrusted(self, uuid: str, kind: str, args: dict[str, str]) -> Task:
        held = await self.state.vm(uuid)
        task = tasks.new(self.state, kind, ("vm", uuid), held.record.name, args=args)
        writing = self.state.put_vm(held, replace(held.record, task=task.id))
        await self.state.store.commit(tasks.creation(self.state, task), writing)
        return task

    async def configured(self, uuid: str) -> list[str]:
        """Disk targets and MACs of the configuration, as the fake says those of a guest."""
        found = domain.describe((await self.vm(uuid)).xml)
        return [disk.dev for disk in found.disks] + [nic.mac for nic in found.nics]

    def acts(self, uuid: str) -> list[str]:
        return [act for act, about in self.hypervisor.acts if about == uuid]
