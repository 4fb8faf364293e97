"""A node's flush, or its end, as the node's own agent sees it through: look at everything, decide, ask, wait.

It keeps nothing that it could not find again: a fresh agent goes on from the records.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum

from pvc.agent.bells import bell
from pvc.agent.records import Records
from pvc.agent.settings import Settings
from pvc.cluster import flushes, migrations
from pvc.cluster.flushes import Concerned
from pvc.cluster.migrations import Action, Asked
from pvc.cluster.state import Held, State
from pvc.errors import Busy, Changed, Conflict, NotFound, PVCError, SessionLost, StoreUnavailable
from pvc.model.flushing import FLUSH, Move, Plan, next_moves
from pvc.model.records import VM, Task, TaskStatus
from pvc.storage.base import Pool

log = logging.getLogger("pvc.agent")

# Between two tries to go on when something that all depends on does not answer.
_AGAIN_S = 2.0
# How long an agent may be away that starts again, before the VMs of its node are taken for stuck there.
_GRACE_S = 30.0
# A VM that was refused so often, although the plan had room for it, stays.
_REFUSALS = 3


async def keep(state: State, records: Records, pools: Mapping[str, Pool], settings: Settings) -> None:
    """Until cancelled, or the session of `state` is lost."""
    while True:
        try:
            await _see_to_all(state, records, pools, settings)
        except SessionLost:
            return
        except PVCError as exc:
            log.warning('The flush of node "%s" waits: %s', settings.node, exc)
            await asyncio.sleep(_AGAIN_S)


async def _see_to_all(state: State, records: Records, pools: Mapping[str, Pool], settings: Settings) -> None:
    async with state.store.watch(state.paths.node(settings.node)) as watch:
        while True:
            if task_id := (await state.node(settings.node)).record.task:
                await Flush(state, records, pools, settings, task_id).run()
            await watch.wait()


class Next(StrEnum):
    """After a turn."""

    WAIT = "wait"
    HOPE = "hope"  # wait, and not for ever
    AGAIN = "again"
    OVER = "over"


class Flush:
    """One of them, whichever its kind."""

    def __init__(
        self, state: State, records: Records, pools: Mapping[str, Pool], settings: Settings, task_id: str
    ) -> None:
        self._state, self._records, self._pools, self._settings, self._id = state, records, pools, settings, task_id
        self._refused: dict[str, str] = {}
        self._refusals: Counter[str] = Counter()
        self._gone: set[str] = set()  # UUIDs of those that were on their way since `_tried` was read
        self._tried: Mapping[str, Mapping[str, str]] | None = None
        self._hopes_until: float | None = None

    async def run(self) -> None:
        """Until the task has ended, or another one has taken its place."""
        paths = self._state.paths
        own = paths.node(self._settings.node), paths.task(self._id)
        others: frozenset[str] | None = frozenset()
        while others is not None:
            async with bell(self._state, [*own, *others], [self._records.subscribe]) as rung:
                others = await self._turns(rung, others)

    async def _turns(self, rung: asyncio.Event, others: frozenset[str]) -> frozenset[str] | None:
        """One after the other, until more records must be watched (which), or all is over (None)."""
        rung.clear()
        while (held := await self._task()) is not None:
            node, kind = self._settings.node, held.record.kind
            about = await flushes.concerned(self._state, await self._records.vms(), node, kind)
            needed = about.told_by(self._state.paths, node)
            if not needed <= others:
                return needed
            match await self._turn(held, about):
                case Next.OVER:
                    return None
                case Next.WAIT:
                    await rung.wait()
                case Next.HOPE:
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(self._hopes_until):
                            await rung.wait()
            rung.clear()
        return None

    async def _task(self) -> Held[Task] | None:
        """None when it is no longer the node's."""
        paths = self._state.paths
        view = await self._state.prefetch(paths.node(self._settings.node), paths.task(self._id))
        if (await view.node(self._settings.node)).record.task != self._id:
            return None
        try:
            held = await view.task(self._id)
        except NotFound:
            return None
        return held if held.record.status is TaskStatus.RUNNING else None

    async def _turn(self, held: Held[Task], about: Concerned) -> Next:
        task = held.record
        await flushes.report(self._state, held, len(about.vms))
        if task.cancel:
            await self._call_off(task, about)
            return Next.OVER
        self._gone |= {vm.uuid for vm in about.busy}
        under_way = [vm.moving.target for vm in about.busy if vm.moving is not None]
        limits = self._settings.flush_limits
        if len(under_way) >= limits.at_once or (under_way and not about.idle):
            return Next.WAIT
        plan = await self._plan(task, about.idle)
        moves = next_moves(plan.moves, under_way, limits)
        asked = await asyncio.gather(*(self._ask(task, move) for move in moves))
        if moves or about.busy or about.ending:
            return Next.WAIT if all(asked) else Next.AGAIN
        if self._may_hope(about, plan):
            return Next.HOPE
        await flushes.end(self._state, task.name, task.id, self._remaining(about, plan))
        return Next.OVER

    def _may_hope(self, about: Concerned, plan: Plan) -> bool:
        """Whether what stays may yet go, when another node's agent is there again."""
        if about.silent.isdisjoint(stay.vm.uuid for stay in plan.stays):
            self._hopes_until = None
            return False
        now = asyncio.get_running_loop().time()
        if self._hopes_until is None:
            self._hopes_until = now + _GRACE_S
        return now < self._hopes_until

    async def _plan(self, task: Task, idle: list[VM]) -> Plan:
        tried = await self._tried_of(task, idle)
        kept = [vm for vm in idle if vm.uuid not in self._refused]
        node, default = self._settings.node, self._settings.selector
        return await flushes.planned(self._state, self._pools, node, task.kind, kept, default, tried)

    async def _tried_of(self, task: Task, idle: list[VM]) -> Mapping[str, Mapping[str, str]]:
        """Read again only where a migration has failed since: that takes all tasks there are."""
        if self._tried is None or not self._gone.isdisjoint(vm.uuid for vm in idle):
            self._tried = await flushes.tried(self._state, task.id)
            self._gone.clear()
        return self._tried

    async def _ask(self, task: Task, move: Move) -> bool:
        """False when it was refused. What somebody else did meanwhile rings for the next turn."""
        if task.kind == FLUSH:
            asked = Asked(action=Action.MIGRATE, node=move.target, force=True, flush=task.id)
        else:
            asked = Asked(action=Action.UNMIGRATE, flush=task.id)
        try:
            await migrations.ask(
                self._state,
                self._pools,
                move.vm.uuid,
                asked,
                default=self._settings.selector,
                who=task.who,
            )
        except (Busy, Changed, NotFound):
            return True
        except StoreUnavailable:
            raise
        except PVCError as exc:
            self._note(move, exc)
            return False
        self._gone.add(move.vm.uuid)
        return True

    def _note(self, move: Move, exc: PVCError) -> None:
        log.warning('VM "%s" does not leave for node "%s": %s', move.vm.name, move.target, exc)
        self._refusals[move.vm.uuid] += 1
        if self._refusals[move.vm.uuid] >= _REFUSALS:
            self._refused[move.vm.uuid] = str(exc).removesuffix(".")

    def _remaining(self, about: Concerned, plan: Plan) -> dict[str, str]:
        left = {stay.vm.name: stay.reason for stay in plan.stays}
        left |= {item.key: f"its record cannot be read: {item.reason}" for item in about.unreadable}
        return left | {vm.name: self._refused[vm.uuid] for vm in about.vms if vm.uuid in self._refused}

    async def _call_off(self, task: Task, about: Concerned) -> None:
        """Nobody waits for those under way: each is asked to stay, and may yet arrive."""
        for vm in about.vms:
            if vm.moving is not None:
                await self._cancel(vm.task, task.id)
        left = {vm.name: "the flush was cancelled" for vm in about.vms}
        await flushes.end(self._state, task.name, task.id, left)

    async def _cancel(self, migration_id: str, flush_id: str) -> None:
        try:
            if (await self._state.task(migration_id)).record.args.get("flush") == flush_id:
                await migrations.cancel(self._state, migration_id)
        except (NotFound, Conflict) as exc:
            log.warning("Migration %s goes on: %s", migration_id, exc)
