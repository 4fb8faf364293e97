"""The loop: wake, read everything, decide, start at most one step per VM.

Losing the store stops decisions, not guests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from msgspec.structs import replace

from pvc.agent import receiving, steps, transport
from pvc.agent.gather import Gatherer, by_mac
from pvc.agent.leaving import Leaving
from pvc.agent.look import Memory
from pvc.agent.records import Records
from pvc.agent.settings import Settings
from pvc.agent.shutdowns import Shutdowns
from pvc.agent.steps import Hands
from pvc.agent.telling import Telling
from pvc.cluster.state import Held, State
from pvc.errors import (
    Corrupt,
    NotFound,
    PVCError,
    SessionLost,
    StoreUnavailable,
    Unavailable,
)
from pvc.hypervisor import domxml
from pvc.hypervisor.base import Event, Facts, Hypervisor, Seen
from pvc.model.migration import Receive
from pvc.model.observing import Live
from pvc.model.records import VM, DaemonState, NodeStatus, Power, Stray, Task, Use
from pvc.model.states import Situation, Step, plan
from pvc.storage.base import Pool

log = logging.getLogger("pvc.agent")

# How long an agent that ends tries to say so.
FAREWELL_S = 3.0


class Reconciler:
    """One agent, on one session of the store after another. clock: monotonic seconds.

    What it hears between two sessions counts: a guest may power itself off while the store is away.
    """

    _state: State
    _records: Records

    def __init__(
        self,
        hypervisor: Hypervisor,
        pools: Mapping[str, Pool],
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hypervisor = hypervisor
        self._pools = pools
        self._settings = settings
        self._clock = clock
        self._memory = Memory(clock, settings.event_grace_s)
        self._shutdowns = Shutdowns(clock, settings.ask_again_s, settings.shutdown_timeout_s)
        self._wake = asyncio.Event()
        self._steps: dict[str, asyncio.Task[None]] = {}
        self._lives: dict[tuple[str, int | None], Live] = {}
        self._gatherer = Gatherer(hypervisor, settings.use_patience_s)
        self._facts: Facts | None = None
        self._standing = transport.Standing()
        self._looked_at = 0.0
        self._use: dict[str, Use] = {}
        self._use_problem = ""
        self._facts_due = 0.0
        self._telling = Telling(settings.node)
        hypervisor.subscribe(self._hear)

    def wake(self) -> None:
        """Something may have changed."""
        self._wake.set()

    async def run(self, state: State, records: Records, ready: Callable[[], None] = lambda: None) -> None:
        """Until cancelled, or the session of `state` is lost (StoreUnavailable). Guests are left as they are.

        records: which call `wake`. ready: called after a look, when what runs has been adopted.
        """
        self._state, self._records = state, records
        self._telling.begin(state)
        self._memory.recall((await state.node_status(self._settings.node)).vms)
        try:
            await self._cycle_on(ready)
        except asyncio.CancelledError:
            await self._say_goodbye()
            raise
        finally:
            await _cancel(*self._steps.values())
            await self._gatherer.aclose()

    async def _cycle_on(self, ready: Callable[[], None]) -> None:
        while True:
            self._wake.clear()
            began = self._clock()
            await self._try_cycle()
            ready()
            await self._sleep(began)

    async def _try_cycle(self) -> None:
        try:
            await self._cycle()
        except SessionLost:
            raise
        except StoreUnavailable as exc:
            log.warning("%s; VMs stay as they are", exc)
        except PVCError as exc:
            log.warning("%s; VMs stay as they are", exc)
            self._facts = None
            await self._publish_problem(str(exc))

    async def _sleep(self, began: float) -> None:
        """Until something happens, a deadline comes, or it is time for a look at everything.

        What was due when the cycle began has had its turn.
        """
        due = [*self._memory.due_after(began), *self._shutdowns.due_after(began)]
        wait_s = min([self._settings.interval_s, *(max(time - self._clock(), 0.01) for time in due)])
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    def _hear(self, event: Event) -> None:
        self._memory.hear(event)
        self._wake.set()

    async def _cycle(self) -> None:
        """The records are read before the domains: a guest that starts or arrives meanwhile is then on the list."""
        records = await self._records.vms()
        others = [held for held in records if isinstance(held, Held) and held.record.node != self._settings.node]
        coming = [held.record for held in others if self._comes_here(held.record)]
        facts = await self._fresh_facts()
        due = await self._due(coming)
        seen = {one.uuid: one for one in await self._hypervisor.domains()}
        mine = [held for held in records if isinstance(held, Held) and held.record.node == self._settings.node]
        for held in mine:
            situation = await self._look(held.record.uuid, seen.get(held.record.uuid))
            if held.record.uuid not in self._steps:
                self._begin(
                    held,
                    plan(held.record, self._memory.of(held.record.uuid), situation, self._settings.node),
                    situation,
                )
        for vm, task in due:
            await self._receive(vm, task, seen.get(vm.uuid))
        for held in others:
            await self._see_to_other(held, seen.get(held.record.uuid))
        uuids = {held.record.uuid for held in mine}
        self._memory.forget_but(uuids)
        self._shutdowns.forget_but(uuids)
        self._lives = {key: live for key, live in self._lives.items() if key[0] in uuids}
        known = uuids | {vm.uuid for vm in coming}
        known |= {item.key for item in records if not isinstance(item, Held)}
        await self._telling.tell(self._status(facts, [one for uuid, one in seen.items() if uuid not in known]))

    def _comes_here(self, vm: VM) -> bool:
        return vm.moving is not None and vm.moving.target == self._settings.node

    async def _see_to_other(self, held: Held[VM], seen: Seen | None) -> None:
        """A VM of another node left something here, or does not concern us."""
        vm = held.record
        if seen is not None and not self._comes_here(vm) and vm.uuid not in self._steps:
            now = Situation(power=seen.power, run=seen.run)
            if plan(vm, await self._state.observed(vm), now, self._settings.node) is Step.CLEAR:
                self._launch(vm, Step.CLEAR, receiving.clear(self._hands(), vm.uuid))

    async def _due(self, coming: list[VM]) -> list[tuple[VM, Task]]:
        """Those that no step is at, with their tasks, which are read in one go: in a flush many VMs come at once, and
        wait most of the time.
        """
        waiting = [vm for vm in coming if vm.uuid not in self._steps and vm.task.isalnum()]
        view = await self._state.prefetch(*(self._state.paths.task(vm.task) for vm in waiting))
        found = []
        for vm in waiting:
            with suppress(NotFound, Corrupt):  # the source sees to it
                found.append((vm, (await view.task(vm.task)).record))
        return found

    async def _receive(self, vm: VM, task: Task, seen: Seen | None) -> None:
        hands = self._hands()
        act = await receiving.due(hands, vm, task, seen)
        if act is not Receive.WAIT:
            self._launch(vm, Step.RECEIVE, receiving.receive(hands, vm, task, act, seen))

    async def _fresh_facts(self) -> Facts:
        """Facts, and what guests use, are of the last regular look: a counter that moved is no reason to write."""
        if self._facts is None or self._clock() >= self._facts_due:
            with self._telling_of_silence():
                self._facts = await self._hypervisor.facts()
            self._standing = await transport.standing(self._settings, self._facts.qemu_user)
            self._use, self._use_problem = await self._gatherer.use()
            self._looked_at = self._state.now()
            self._facts_due = self._clock() + self._settings.interval_s
        return self._facts

    @contextmanager
    def _telling_of_silence(self) -> Iterator[None]:
        telling = asyncio.create_task(self._tell_of_silence(), name="telling of silence")
        try:
            yield
        finally:
            telling.cancel()

    async def _tell_of_silence(self) -> None:
        await asyncio.sleep(self._settings.silence_s)
        problem = f"libvirt has not answered for {self._settings.silence_s:g} s and is still waited for."
        log.warning("%s VMs stay as they are", problem)
        await self._publish_problem(problem)

    async def _look(self, uuid: str, seen: Seen | None) -> Situation:
        live = await self._live(seen) if seen is not None else None
        situation = self._memory.look(uuid, seen, live)
        if situation.power is Power.OFF:
            self._shutdowns.forget(uuid)
            self._use.pop(uuid, None)
            self._forget_live(uuid)
        return situation

    def _forget_live(self, uuid: str) -> None:
        self._lives = {key: live for key, live in self._lives.items() if key[0] != uuid}

    async def _live(self, seen: Seen) -> Live | None:
        key = (seen.uuid, seen.run)
        if key not in self._lives:
            try:
                self._lives[key] = domxml.live(await self._hypervisor.xml(seen.uuid))
            except NotFound:
                return None
        return self._lives[key]

    def _begin(self, held: Held[VM], step: Step | None, now: Situation) -> None:
        vm = held.record
        if step is Step.SHUTDOWN:
            step = self._shutdowns.due(vm, now.run)
        if step is None:
            return
        hands = self._hands()
        match step:
            case Step.START:
                self._launch(vm, step, self._start(hands, held))
            case Step.SHUTDOWN:
                self._launch(vm, step, steps.shutdown(hands, vm.uuid))
            case Step.STOP:
                self._launch(vm, step, steps.stop(hands, vm.uuid))
            case Step.RUN_TASK:
                self._launch(vm, step, self._run_task(hands, held, now.power))
            case Step.REPORT_STRAY:
                log.warning('VM "%s" runs here but belongs to node "%s"', vm.name, vm.node)

    def _hands(self) -> Hands:
        domain_type = self._facts.domain_type if self._facts else "qemu"
        qemu_user = self._facts.qemu_user if self._facts else None
        return Hands(self._state, self._hypervisor, self._pools, self._settings, domain_type, qemu_user)

    async def _start(self, hands: Hands, held: Held[VM]) -> None:
        vm = held.record
        self._memory.starting(vm.uuid)
        try:
            if await steps.start(hands, held):
                self._memory.started(vm.uuid, vm.run)
        except Unavailable as exc:
            self._memory.put_off(vm.uuid, str(exc))
            raise
        except PVCError as exc:
            log.warning('VM "%s" cannot start: %s', vm.name, exc)
            self._memory.not_started(vm.uuid, vm.run, steps.refusal(exc))

    async def _run_task(self, hands: Hands, held: Held[VM], power: Power) -> None:
        try:
            if held.record.moving is not None:
                told = self._telling.of_vm(held.record.uuid)
                await Leaving(hands, self._shutdowns, self._clock, held.record, told).run()
            else:
                await steps.run_task(hands, held, power)
        finally:
            self._forget_live(held.record.uuid)

    def _launch(self, vm: VM, step: Step, work: Coroutine[Any, Any, None]) -> None:
        log.info('VM "%s": %s', vm.name, step)
        task = self._steps[vm.uuid] = asyncio.create_task(work, name=f"{step} {vm.name}")
        task.add_done_callback(lambda done: self._finished(vm, step, done))

    def _finished(self, vm: VM, step: Step, done: asyncio.Task[None]) -> None:
        self._steps.pop(vm.uuid, None)
        if done.cancelled():
            return
        exc = done.exception()
        if isinstance(exc, Unavailable):
            log.warning('VM "%s": %s was put off: %s', vm.name, step, exc)
            return  # the next regular look tries again
        if exc is not None:
            log.error('VM "%s": %s failed', vm.name, step, exc_info=exc)
            if step is not Step.START:
                return
            self._memory.not_started(vm.uuid, vm.run, str(exc))
        self._wake.set()

    def _status(self, facts: Facts, strays: list[Seen]) -> NodeStatus:
        return NodeStatus(
            daemon=DaemonState.RUN,
            looked_at=self._looked_at,
            os=facts.os,
            domain_type=facts.domain_type,
            domain_type_reason=facts.reason,
            arch=facts.arch,
            kernel=facts.kernel,
            cpu_count=facts.cpu_count,
            memory_total=facts.memory_total,
            memory_free=facts.memory_free,
            memory_reserve=self._settings.memory_reserve,
            load=facts.load,
            libvirt_version=facts.libvirt_version,
            qemu_version=facts.qemu_version,
            strays=tuple(sorted(one.name for one in strays)),
            guests={one.uuid: Stray(name=one.name, run=one.run) for one in strays if one.power is not Power.OFF},
            vms=self._memory.all(),
            use=self._own_use(),
            use_problem=self._use_problem,
            no_live=self._standing.no_live,
            encrypted=self._standing.encrypted,
            no_encryption=self._standing.no_encryption,
        )

    def _own_use(self) -> dict[str, Use]:
        """By UUID, of guests that run; NICs by MAC."""
        seen = self._memory.all()
        lives = {uuid: live for (uuid, run), live in self._lives.items() if uuid in seen and seen[uuid].run == run}
        return {uuid: by_mac(self._use[uuid], live) for uuid, live in lives.items() if uuid in self._use}

    async def _publish_problem(self, problem: str) -> None:
        """Facts of the last look that succeeded stay: the machine is the same."""
        with suppress(StoreUnavailable):
            last = await self._telling.last()
            await self._telling.tell(
                replace(last, daemon=DaemonState.RUN, problem=problem, vms=self._memory.all(), use={}, use_problem="")
            )

    async def _say_goodbye(self) -> None:
        """The store may be away, and who ends must not wait for it."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._telling.tell(replace(await self._telling.last(), daemon=DaemonState.SHUTDOWN))
        except (PVCError, TimeoutError) as exc:
            log.warning("The cluster is not told that this agent ends: %s", exc or "its store does not answer")


async def _cancel(*running: asyncio.Task[None]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
