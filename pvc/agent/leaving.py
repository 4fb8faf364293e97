"""The source's part in a migration: one long step, which looks, decides and acts until the task has ended.

What it knows by itself is only how its own call of libvirt went. A fresh agent finds the rest by asking libvirt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

from pvc.agent import transport, words
from pvc.agent.bells import Subscribe, bell, of_guest
from pvc.agent.patience import Patience, Push
from pvc.agent.shutdowns import Shutdowns
from pvc.agent.steps import Hands, refusal, shutdown, stop
from pvc.cluster import migrations
from pvc.cluster.state import View
from pvc.errors import Cancelled, Conflict, Corrupt, HypervisorRefused, NotFound, PVCError
from pvc.hypervisor import domxml
from pvc.hypervisor.base import Copy, Seen
from pvc.model import migration
from pvc.model.migration import Attempt, Here, Leave, Phase
from pvc.model.observing import ALIVE
from pvc.model.records import VM, Observed, Power, Task
from pvc.model.states import Step, is_over

log = logging.getLogger("pvc.agent")

# Between two looks at how far a copy is: libvirt has no event for that. Each costs both nodes a little of what they
# have for the copy, so a small guest is there before the second.
_SAMPLE_S = 1.0


class Leaving:
    """clock: monotonic seconds. told: heard when this node has published something else of the VM than before."""

    def __init__(self, hands: Hands, shutdowns: Shutdowns, clock: Callable[[], float], vm: VM, told: Subscribe) -> None:
        self._told = told
        self._hands, self._state, self._hypervisor = hands, hands.state, hands.hypervisor
        self._shutdowns, self._clock = shutdowns, clock
        self._uuid, self._task_id = vm.uuid, vm.task
        self._target = vm.moving.target if vm.moving is not None else ""
        self._call: asyncio.Task[None] | None = None
        self._patience = Patience(
            most_ms=vm.max_downtime_ms or hands.settings.tuning.max_downtime_ms,
            step_s=hands.settings.stall_s,
            end_s=hands.settings.patience_s,
            post_copy=hands.settings.tuning.post_copy,
        )
        self._impatient = ""
        self._copied, self._may_try_again = False, True

    async def run(self) -> None:
        """Until the task has ended, or this agent ends."""
        paths = self._state.paths
        changing = paths.vm(self._uuid), paths.task(self._task_id), paths.node_alive(self._target)
        heard = of_guest(self._hypervisor, self._uuid), self._told
        async with bell(self._state, changing, heard) as rung:
            try:
                while await self._once(rung, [*changing, paths.node_status(self._hands.settings.node)]):
                    pass
                await self._until_let_go()
            finally:
                if self._call is not None:
                    self._call.cancel()  # libvirt goes on with it
                    await asyncio.gather(self._call, return_exceptions=True)

    async def _until_let_go(self) -> None:
        """The target may have the guest a moment before libvirt is done with it here."""
        if self._call is not None:
            await asyncio.wait([self._call])
            if problem := self._attempt().problem:
                log.warning("Migration %s had ended when libvirt said: %s", self._task_id, problem)

    async def _once(self, rung: asyncio.Event, paths: Iterable[str]) -> bool:
        """Look, decide, act, and wait where there is something to wait for; False at the end."""
        rung.clear()
        view = await self._state.prefetch(*paths)
        try:
            vm = (await view.vm(self._uuid)).record
        except NotFound:
            return False
        if vm.task != self._task_id:
            return False
        task = await self._task(view)
        observed = (await view.node_status(self._hands.settings.node)).vms.get(vm.uuid, Observed())
        here = await self._look(observed) if self._needs_look(task) else Here(power=Power.UNKNOWN)
        target_alive = await view.node_alive(self._target)
        over = is_over(vm, observed)
        self._forgive()
        act = migration.leaving(vm, task, here, self._attempt(), target_alive=target_alive, over=over)
        if act is Leave.DONE:
            return False
        wait_s = await self._act(act, vm, task, here, rung)
        if wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await rung.wait()
        return True

    async def _task(self, view: View) -> Task:
        """Raises Corrupt where there is none: what is to become of the VM, nobody can tell then."""
        try:
            return (await view.task(self._task_id)).record
        except NotFound as exc:
            raise Corrupt(kind="task", name=self._task_id, reason="it is not there, and a VM is on its way") from exc

    def _needs_look(self, task: Task) -> bool:
        """Not before it is this node's turn, nor where its own call of libvirt tells enough: a look costs both nodes a
        little of what they have for the copy.
        """
        attempt = self._attempt()
        tells = task.phase == Phase.COPY and (attempt.under_way or attempt.arrived)
        return task.phase != Phase.PREPARE and not tells

    async def _look(self, observed: Observed) -> Here:
        """A guest that is gone is in doubt until it is known how it ended, as is one of which libvirt tells nothing. A
        job that just ended still counts.
        """
        try:
            job = await self._hypervisor.copy(self._uuid) is not None
        except HypervisorRefused as exc:
            self._tell_of_silence(exc)
            return Here(power=Power.UNKNOWN)
        seen = await self._seen()
        if seen is None:
            return Here(power=Power.UNKNOWN if observed.power in ALIVE else Power.OFF)
        return Here(power=seen.power, job=job)

    async def _seen(self) -> Seen | None:
        return next((one for one in await self._hypervisor.domains() if one.uuid == self._uuid), None)

    def _forgive(self) -> None:
        """One try that failed before anything was copied does not count, as when the target's QEMU did not answer: a
        shutdown may follow.
        """
        if not self._has_returned or self._copied or self._impatient or not self._may_try_again:
            return
        if problem := self._attempt().problem:
            log.warning("Migration %s failed before it began, and is tried once more: %s", self._task_id, problem)
            self._call, self._may_try_again = None, False

    @property
    def _has_returned(self) -> bool:
        return self._call is not None and self._call.done()

    def _attempt(self) -> Attempt:
        if self._call is None:
            return Attempt()
        if not self._call.done():
            return Attempt(under_way=True, problem=self._impatient)
        exc = self._call.exception()
        if exc is not None and not isinstance(exc, PVCError):
            raise exc
        return Attempt(arrived=exc is None, problem=self._impatient or (refusal(exc) if exc is not None else ""))

    async def _act(self, act: Leave, vm: VM, task: Task, here: Here, rung: asyncio.Event) -> float:
        """Returns for how many seconds to wait for news before the next look, 0 for at once."""
        match act:
            case Leave.COPY:
                if await self._may_copy(task) and await self._proceed(Phase.COPY, after=Phase.READY):
                    self._call = asyncio.create_task(self._migrate(task.args))
                    self._call.add_done_callback(lambda _: rung.set())
                    await self._sample()
            case Leave.WATCH:
                await self._sample()
            case Leave.ABORT:
                await self._press(self._hypervisor.abort_migration(self._uuid))
                await self._until_next_sample()
            case Leave.ASK_TARGET:
                phase = Phase.LOST if here.power is Power.OFF else Phase.DOUBT
                await self._proceed(phase, after=Phase.COPY, ring=True)
            case Leave.RESUME:
                await self._hypervisor.resume(self._uuid)
            case Leave.SHUTDOWN:
                await self._proceed(
                    Phase.SHUTDOWN, after=Phase(task.phase), args={"live_problem": self._attempt().problem}
                )
            case Leave.END_GUEST:
                return await self._end_guest(vm)
            case Leave.HAND_OVER:
                await self._hand_over(vm, task)
            case Leave.GIVE_UP:
                await self._give_up(vm, task, here)
            case Leave.WAIT | Leave.DONE:
                return self._hands.settings.interval_s
        return 0.0

    async def _proceed(
        self, phase: Phase, *, after: Phase, ring: bool = False, args: Mapping[str, str] | None = None
    ) -> bool:
        return await migrations.proceed(
            self._state, self._uuid, self._task_id, phase, after=after, ring=ring, args=args
        )

    async def _may_copy(self, task: Task) -> bool:
        """What this node lacks ends a migration that has not begun, and shuts nothing down."""
        if task.phase == Phase.READY:
            try:
                await transport.check(self._hands.settings, self._hands.qemu_user, task.args["uri"])
            except Conflict as exc:
                await migrations.give_up(self._state, self._uuid, self._task_id, exc, only_in=Phase.READY)
                return False
        return True

    async def _migrate(self, args: dict[str, str]) -> None:
        xml = domxml.on_target(await self._hypervisor.movable_xml(self._uuid), args["console_log"])
        tuning = self._hands.settings.tuning_at(self._patience.allowed_ms)
        await self._hypervisor.migrate(self._uuid, xml, args["uri"], tuning)

    async def _sample(self) -> None:
        await self._until_next_sample()
        await self._watch()

    async def _until_next_sample(self) -> None:
        """Or until our own call has ended. The bell is no help: it rings for what was just reported."""
        if self._call is not None:
            await asyncio.wait([self._call], timeout=_SAMPLE_S)
        else:
            await asyncio.sleep(_SAMPLE_S)

    async def _watch(self) -> None:
        copy = None if self._has_returned else await self._how_far()
        if copy is None:
            return
        self._copied |= copy.processed > 0
        await migrations.report(
            self._state, self._uuid, self._task_id, max(copy.total - copy.left, 0), copy.total, words.progress(copy)
        )
        await self._push(copy)

    async def _how_far(self) -> Copy | None:
        """None also where libvirt does not tell: the step goes on, and an abort is still asked for."""
        try:
            return await self._hypervisor.copy(self._uuid)
        except HypervisorRefused as exc:
            self._tell_of_silence(exc)
            return None

    def _tell_of_silence(self, refusal: HypervisorRefused) -> None:
        """libvirt waits in vain for the guest's QEMU, or something else has the guest."""
        log.warning("How far migration %s is, libvirt does not tell: %s", self._task_id, refusal)

    async def _push(self, copy: Copy) -> None:
        match self._patience.look(self._clock(), copy.left):
            case Push.ALLOW_MORE:
                log.info("Migration %s stalls; %d ms of downtime are allowed", self._task_id, self._patience.allowed_ms)
                await self._press(self._hypervisor.allow_downtime(self._uuid, self._patience.allowed_ms))
            case Push.POST_COPY:
                log.info(
                    "Migration %s stalls; the guest goes on at the target before its memory is there", self._task_id
                )
                await self._press(self._hypervisor.start_post_copy(self._uuid))
            case Push.ABORT:
                self._impatient = (
                    "the guest changes its memory faster than it can be copied; a longer migration_max_downtime, or the"
                    ' method "shutdown", lets it go'
                )
            case None:
                return

    async def _press(self, act: Awaitable[None]) -> None:
        """libvirt hears none of it before its job has begun, when the job has just ended, or while another act holds
        the guest: the next look decides again, and asks again where it still matters.
        """
        try:
            await act
        except (HypervisorRefused, NotFound) as exc:
            log.info("Migration %s goes on as it was: %s", self._task_id, exc)

    async def _end_guest(self, vm: VM) -> float:
        """As any shutdown: the guest is asked, again and again, until its time is up."""
        seen = await self._seen()
        now = self._clock()
        match self._shutdowns.due(vm, seen.run if seen is not None else None):
            case Step.STOP:
                await stop(self._hands, self._uuid)
            case Step.SHUTDOWN if seen is not None and seen.power is not Power.RUNNING:
                await stop(self._hands, self._uuid)  # it cannot hear
            case Step.SHUTDOWN:
                await shutdown(self._hands, self._uuid)
        return min((moment - now for moment in self._shutdowns.due_after(now)), default=self._hands.settings.interval_s)

    async def _hand_over(self, vm: VM, task: Task) -> None:
        target = self._target
        if self._attempt().arrived:
            figures = words.figures(await self._hypervisor.last_copy(self._uuid))
            result = words.moved(vm.name, target, figures)
            await migrations.hand_over(self._state, self._uuid, self._task_id, result=result, figures=figures)
            return
        self._shutdowns.forget(self._uuid)
        result = words.shut_down(vm.name, target, task.args.get("live_problem", ""))
        await migrations.hand_over(self._state, self._uuid, self._task_id, result=result, figures={}, anew=True)

    async def _give_up(self, vm: VM, task: Task, here: Here) -> None:
        self._shutdowns.forget(self._uuid)
        anew = task.phase == Phase.SHUTDOWN and here.power is Power.OFF
        problem = self._problem(vm, task, here)
        log.warning('VM "%s" stays: %s', vm.name, problem)
        await migrations.give_up(self._state, self._uuid, self._task_id, problem, anew=anew)

    def _problem(self, vm: VM, task: Task, here: Here) -> PVCError:
        if task.cancel:
            what, outlook = f'The migration of VM "{vm.name}"', f'; it stays on node "{vm.node}"'
            return Cancelled(what=what, outlook=outlook)
        if migration.is_called_off(vm, task):
            return Conflict(kind="VM", name=vm.name, problem="was asked to end while it was migrated, so it stayed")
        if problem := self._attempt().problem:
            return HypervisorRefused(reason=problem)
        if task.phase in (Phase.PREPARE, Phase.READY, Phase.SHUTDOWN) and here.power is not Power.OFF:
            return migrations.unavailable(self._target)
        if here.power is Power.OFF:
            return Conflict(kind="VM", name=vm.name, problem="ended while it was migrated")
        return Conflict(kind="VM", name=vm.name, problem="stayed, for its migration was broken off")
