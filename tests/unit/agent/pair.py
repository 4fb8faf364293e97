"""Two nodes on one store, with a pool that both can open, and hypervisors that pass guests to each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from pvc.agent import flushing
from pvc.agent.reconcile import Reconciler
from pvc.agent.records import followed
from pvc.agent.settings import Settings
from pvc.agent.steps import Hands
from pvc.cluster import migrations, nodes, power, tasks, vms
from pvc.cluster.migrations import Action, Asked, Outcome
from pvc.cluster.opening import open_state
from pvc.cluster.state import Held, State
from pvc.hypervisor.fake import FakeHypervisor
from pvc.model import domain
from pvc.model.records import VM, DaemonState, MigrationMethod, Node, Selector, Task, TaskStatus
from pvc.storage.base import Capabilities
from pvc.storage.directory import DirectoryPool
from pvc.store.base import Source
from pvc.units import MIB
from tests.parts import documents
from tests.unit.agent.lab import TIMEOUT_S, Clock

SOURCE, TARGET = "hv1", "hv2"


class SharedPool(DirectoryPool):
    """A folder that every node sees."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=True, live_snapshots=False)


class Pair:
    def __init__(self, source: Source, state: State, pool: DirectoryPool, folder: Path) -> None:
        self.source, self.state, self.pool, self.clock = source, state, pool, Clock()
        self.pools = {pool.name: pool}
        self.hypervisors = {name: FakeHypervisor() for name in (SOURCE, TARGET)}
        self.links = folder / "links"
        (self.links / "vmbr100").mkdir(parents=True)
        self.settings = {name: self._settings(name, folder) for name in self.hypervisors}
        for one in self.hypervisors.values():
            one.others = {
                f"qemu+tcp://{name}/system": other for name, other in self.hypervisors.items() if other is not one
            }

    def _settings(self, name: str, folder: Path) -> Settings:
        return Settings(
            node=name,
            console_path=str(folder / name),
            interval_s=3600,
            migration_uri=f"qemu+tcp://{name}/system",
            links_path=str(self.links),
        )

    def change(self, name: str, **settings: object) -> None:
        self.settings[name] = replace(self.settings[name], **settings)  # type: ignore[arg-type]

    def hands(self, name: str, state: State | None = None) -> Hands:
        return Hands(state or self.state, self.hypervisors[name], self.pools, self.settings[name], "qemu")

    @asynccontextmanager
    async def agent(self, name: str) -> AsyncIterator[None]:
        state = await open_state(self.source)
        await nodes.join(state, Node(name=name))
        ready = asyncio.Event()
        reconciler = Reconciler(self.hypervisors[name], self.pools, self.settings[name], self.clock)
        async with followed(state, name, reconciler.wake) as records:
            running = asyncio.create_task(reconciler.run(state, records, ready.set))
            emptying = asyncio.create_task(flushing.keep(state, records, self.pools, self.settings[name]))
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await ready.wait()
                yield
            finally:
                running.cancel()
                emptying.cancel()
                await asyncio.gather(running, emptying, return_exceptions=True)
        await state.store.aclose()

    @asynccontextmanager
    async def agents(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for name in self.hypervisors:
                await stack.enter_async_context(self.agent(name))
            yield

    @asynccontextmanager
    async def alive(self, name: str) -> AsyncIterator[State]:
        """The node is there, but nobody acts on it."""
        state = await open_state(self.source)
        await nodes.join(state, Node(name=name))
        last = await state.node_status(name)
        await nodes.publish(state, name, msgspec.structs.replace(last, daemon=DaemonState.RUN))
        try:
            yield state
        finally:
            await state.store.aclose()

    async def running(self, name: str = "web1", method: MigrationMethod = MigrationMethod.NONE, *devices: str) -> str:
        """A VM that runs on the source; agents must be there."""
        await self.pool.create(name, MIB)
        text = documents.vm(name, devices=[documents.disk(f"local/{name}"), *devices])
        uuid = self.state.new_uuid()
        xml = domain.normalise(text, new_uuid=uuid)
        vm = VM(uuid=uuid, name=name, xml=xml, node=SOURCE, migration_method=method)
        await vms.define(self.state, self.pools, vm)
        await power.wait(self.state, await power.ask(self.state, name, "start"), TIMEOUT_S)
        return uuid

    async def ask(
        self,
        name: str = "web1",
        action: Action = Action.MIGRATE,
        node: str = "",
        *,
        force: bool = False,
        force_live: bool = False,
    ) -> Outcome:
        asked = Asked(action=action, node=node, force=force, force_live=force_live)
        return await migrations.ask(self.state, self.pools, name, asked, default=Selector.MEM, who="me")

    async def move(self, name: str = "web1", action: Action = Action.MIGRATE, node: str = "", **more: bool) -> Task:
        """Ask and wait. Raises TaskProblem when it stayed."""
        task = await migrations.wait(self.state, await self.ask(name, action, node, **more), TIMEOUT_S)
        assert task is not None
        return task

    async def ended(self, task_id: str) -> Task:
        async with asyncio.timeout(TIMEOUT_S), self.state.store.watch(self.state.paths.task(task_id)) as watch:
            while (task := (await self.state.task(task_id)).record).status is TaskStatus.RUNNING:
                await watch.wait()
            return task

    async def comes_to(self, task_id: str, phase: str) -> None:
        version = -1
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                held = await tasks.after(self.state, task_id, version, TIMEOUT_S)
                if held.record.phase == phase:
                    return
                version = held.version

    async def copying(self, task_id: str) -> None:
        """Return when the hypervisors are at it."""
        await self.comes_to(task_id, "copy")
        async with asyncio.timeout(TIMEOUT_S):
            while not (await self.state.task(task_id)).record.figures:
                await asyncio.sleep(0.01)

    async def held(self, uuid: str) -> Held[VM]:
        return await self.state.vm(uuid)

    async def vm(self, uuid: str) -> VM:
        return (await self.state.vm(uuid)).record

    def acts(self, name: str, uuid: str) -> list[str]:
        return [act for act, about in self.hypervisors[name].acts if about == uuid]

    async def where(self, uuid: str) -> list[str]:
        """The nodes whose hypervisor has the guest, running or not."""
        found = []
        for name, hypervisor in self.hypervisors.items():
            found += [name for one in await hypervisor.domains() if one.uuid == uuid]
        return found

    async def is_once_on(self, name: str, uuid: str, starts: int = 1) -> None:
        """By its record and in truth, and nobody holds it."""
        vm = await self.vm(uuid)
        assert (vm.node, vm.task, vm.moving) == (name, "", None)
        assert await self.where(uuid) == [name]
        [seen] = [one for one in await self.hypervisors[name].domains() if one.uuid == uuid]
        assert seen.power == "running"
        assert sum(one.starts.get(uuid, 0) for one in self.hypervisors.values()) == starts
