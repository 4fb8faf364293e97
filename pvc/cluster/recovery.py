"""Restore, rollback and initialising: all records are replaced in one moment, or none.

What is to be in force is written into a new generation beside the present one, and then put in force by one change
of one record (docs/design/017). Who is cut off before leaves nothing but a generation that nobody sees.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from pvc.cluster import backing, scenery, tasks, tokens
from pvc.cluster.backing import Ground, Raw
from pvc.cluster.state import State, Unreadable
from pvc.cluster.tasks import Running, unheard
from pvc.errors import Busy, Conflict, NotFound, PVCError
from pvc.model import recovery
from pvc.model.backup import Backup, Unread
from pvc.model.content import Content, Difference, Plan, plan
from pvc.model.records import SCHEMA, Cluster, Made, Token, encode
from pvc.model.recovery import Obstacles, Scene, counted, listed
from pvc.store import generation
from pvc.store.base import Create, Operation, Put, Store
from pvc.store.generation import read_current
from pvc.store.inforce import Standstill
from pvc.store.paths import RECOVERY, Paths, generation_root

log = logging.getLogger("pvc.server")

# Of a restore, as many are kept with its task.
_MOST_NOTES = 5


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a restore would do.

    content: as it would be in force. notes: sentences. answering: nodes whose agents answer now.
    """

    content: Content
    plan: Plan
    notes: tuple[str, ...]
    obstacles: Obstacles
    tokens: tuple[Token, ...] = ()
    answering: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wish:
    """force: past what can be passed over."""

    made: Made
    who: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """previous: the generation that was in force until now, and is kept."""

    generation: str
    previous: str
    made: Made
    prospect: Prospect

    @property
    def sentence(self) -> str:
        content = self.prospect.content
        vms, networks = counted(len(content.vms), "VM"), counted(len(content.networks), "network")
        count = f"{vms}, {networks} and {counted(len(content.nodes), 'node')}"
        did = {Made.INIT: "Initialized the cluster", Made.ROLLBACK: f"Returned to {count}"}
        what = did.get(self.made, f"Restored {count}")
        return f'{what} as generation "{self.generation}"; generation "{self.previous}" is kept.'

    @property
    def told(self) -> str:
        """With what is to be known of it, as far as a task's record has room."""
        notes = self.prospect.notes
        more = [f"{len(notes) - _MOST_NOTES} more notes are told by a dry run."] if len(notes) > _MOST_NOTES else []
        back = sorted(self.prospect.answering)
        rejoin = [f"The agents of these nodes rejoin within seconds: {listed(back)}."] if back else []
        return " ".join([self.sentence, *rejoin, *notes[:_MOST_NOTES], *more])


async def prospect(ground: Ground, backup: Backup, ours: str = "") -> Prospect:
    """ours: the id of the task that asks."""
    await ground.caught_up()
    scene = await scenery.scene(ground.view, ground.state, ours)
    made = recovery.kept_running(backup.content, scene.guests, foreign=backup.foreign)
    raw = await backing.present(ground)
    planned, unread = await asyncio.to_thread(_planned, raw, made)
    notes = [*backup.notes, *recovery.notes(backup.content, made, scene)]
    notes += [f'The record of {one.kind} "{one.name}" cannot be read and stays behind: {one.problem}' for one in unread]
    notes += await scenery.absent(ground.pools, made)
    gone = {one.name for one in planned.deletes if one.kind == "node"}
    notes += [
        f'Node "{name}" is not in it; its agent joins again by itself.' for name in sorted(gone & scene.answering)
    ]
    added, kept = await _tokens(ground.store, backup)
    if kept:
        notes.append(f"These tokens are there, and stay as they are: {listed(kept)}.")
    planned = replace(planned, creates=(*planned.creates, *map(_token_made, added)))
    obstacles = recovery.obstacles(backup.content, scene)
    return Prospect(made, planned, tuple(notes), obstacles, added, scene.answering)


def _planned(raw: list[Raw], made: Content) -> tuple[Plan, tuple[Unread, ...]]:
    now, unread = backing.readable(raw)
    return plan(now, made), unread


async def _tokens(store: Store, backup: Backup) -> tuple[tuple[Token, ...], list[str]]:
    """Those of the backup that are missing here, and the names of the others: nobody is locked out by a restore."""
    if backup.secrets is None:
        return (), []
    present = {_name(one) for one in await tokens.every(store)}
    added = tuple(one for one in backup.secrets.tokens if one.name not in present)
    return added, [one.name for one in backup.secrets.tokens if one.name in present]


def _name(token: Token | Unreadable) -> str:
    return token.key if isinstance(token, Unreadable) else token.name


def _token_made(token: Token) -> Difference:
    return Difference(kind="token", name=token.name, key=token.name)


async def restore(
    ground: Ground, backup: Backup, *, who: str, force: bool = False, made: Made = Made.RESTORE
) -> Outcome:
    """Make `backup` the cluster's configuration. No guest is stopped, moved or restarted by it.

    Raises Conflict for what stands in the way; then, as after every other failure, all is as it was.
    """
    async with ground.store.lock(RECOVERY, f"{made} by {who}"):
        return await replace_all(ground, backup, Wish(made, who, force=force))


async def replace_all(ground: Ground, backup: Backup, wish: Wish, running: Running | None = None) -> Outcome:
    """As `restore`, under the lock RECOVERY, which is the caller's.

    running: the task that it is. It can be cancelled up to the flip, and stands in the new generation as done.
    """
    store, ours = ground.store, running.task.id if running else ""
    report = running.report if running else unheard
    await generation.clear(store)
    expected = await prospect(ground, backup, ours)
    refuse(expected.obstacles, force=wish.force)
    name = await generation.begin(store)
    try:
        total = _count(expected.content)
        await generation.fill(store, _creations(expected.content, name), lambda done: report("writing", done, total))
        async with store.standing_still(f'{wish.made} "{ground.state.new_uuid()}"') as still:
            content = await _last_look(ground, backup, ours, force=wish.force)
            await generation.fill(still.store, _corrections(expected.content, content, name))
            outcome = Outcome(name, still.cluster.generation, wish.made, expected)
            if running:
                await _pass_on(running, still.store, outcome)
            added, _kept = await _tokens(still.store, backup)
            new = _cluster(ground.state, still, backup, name, wish)
            await still.flip(new, *map(tokens.creation, added))
    except BaseException:
        await asyncio.shield(_undo(store, name))
        raise
    if running:
        running.leave()
    log.info('Generation "%s" is in force, made by %s of %s', name, wish.made, wish.who)
    return outcome


async def _pass_on(running: Running, store: Store, outcome: Outcome) -> None:
    """Nobody can ask for the end from here on, because everybody stands still. Raises Cancelled when somebody has."""
    await running.check()
    figures = {"generation": int(outcome.generation), "previous": int(outcome.previous)}
    ended = replace(tasks.done(running.task, outcome.told), figures=figures)
    await store.commit(Create(Paths(generation_root(outcome.generation)).task(ended.id), encode(ended)))


async def _last_look(ground: Ground, backup: Backup, ours: str, *, force: bool) -> Content:
    """While nothing changes: guests may have been started or moved since the first look."""
    await ground.caught_up()
    scene: Scene = await scenery.scene(ground.view, ground.state, ours)
    refuse(recovery.obstacles(backup.content, scene), force=force)
    return recovery.kept_running(backup.content, scene.guests, foreign=backup.foreign)


def refuse(obstacles: Obstacles, *, force: bool) -> None:
    """Raises Conflict."""
    found = [*obstacles.firm, *(() if force else obstacles.others)]
    if found:
        way_out = "" if obstacles.firm else ' ("force" passes over that)'
        problem = f"cannot be restored now: {'; '.join(found)}{way_out}"
        raise Conflict(kind="cluster", name="pvc", problem=problem, obstacles=found)


def _cluster(state: State, still: Standstill, backup: Backup, name: str, wish: Wish) -> Cluster:
    return Cluster(
        schema=SCHEMA,
        id=backup.cluster or still.cluster.id,
        generation=name,
        created_at=state.now(),
        made=wish.made,
        who=wish.who,
        previous=still.cluster.generation,
    )


def _count(content: Content) -> int:
    """Of what `_creations` makes."""
    named = len(content.networks) + len(content.vms)
    return len(Paths("").folders) + 2 * named + len(content.nodes) + len(content.ovas)


def _creations(content: Content, name: str) -> Iterator[Operation]:
    paths = Paths(generation_root(name))
    yield from (Create(folder) for folder in paths.folders)
    yield from (Create(paths.node(node.name), encode(node)) for node in content.nodes)
    for network in content.networks:
        yield Create(paths.network(network.vni), encode(network))
        yield Create(paths.network_name(network.description), str(network.vni).encode())
    yield from (Create(paths.ova(ova.name), encode(ova)) for ova in content.ovas)
    for vm in content.vms:
        yield Create(paths.vm(vm.uuid), encode(vm))
        yield Create(paths.vm_name(vm.name), vm.uuid.encode())


def _corrections(written: Content, wanted: Content, name: str) -> Iterator[Operation]:
    """Both are of the same backup: they differ in where VMs are, and whether they run."""
    paths = Paths(generation_root(name))
    known = set(written.nodes)
    yield from (Create(paths.node(node.name), encode(node)) for node in wanted.nodes if node not in known)
    for before, vm in zip(written.vms, wanted.vms, strict=True):
        if before != vm:
            yield Put(paths.vm(vm.uuid), encode(vm), 0)


async def _undo(store: Store, name: str) -> None:
    try:
        _, current = await read_current(store)
        if current.generation != name:
            await generation.remove(store, name)
    except PVCError as exc:
        log.warning('Generation "%s" is left half-written and removed later: %s', name, exc)


async def clear(state: State) -> None:
    """Remove what interrupted restores left, unless one is under way."""
    try:
        async with state.store.lock(RECOVERY, "a look for what restores left"):
            for name in await generation.clear(state.store):
                log.info('Removed generation "%s", left half-written by a restore that was cut off', name)
    except Busy:
        return
    except PVCError as exc:
        log.warning("What restores left is not looked for now: %s", exc)


async def initialise(ground: Ground, *, who: str, overwrite: bool) -> Outcome:
    """Begin anew, with no records. Raises what `nothing` does."""
    return await restore(ground, await nothing(ground, overwrite=overwrite), who=who, force=True, made=Made.INIT)


async def nothing(ground: Ground, *, overwrite: bool) -> Backup:
    """What a new cluster has. Raises Conflict for an initialised one unless `overwrite`: that is then kept."""
    await ground.caught_up()
    _, cluster = await read_current(ground.store)
    view = ground.view
    has_records = await view.vms() or await view.networks() or await ground.state.ovas()
    if not overwrite and (cluster.made is not Made.FIRST or has_records):
        problem = "is initialised already; overwrite begins anew and keeps its records as a generation to come back to"
        raise Conflict(kind="cluster", name=cluster.id, problem=problem)
    return Backup(Content(), cluster=ground.state.new_uuid())


async def kept(ground: Ground, name: str) -> Backup:
    """A kept generation, to be restored; "" for the one before that in force. Raises NotFound."""
    _, current = await read_current(ground.store)
    wanted = name or current.previous
    for cluster in await generation.kept(ground.store):
        if cluster.generation == wanted:
            raw = await backing.of_generation(ground.store, Paths(generation_root(wanted)))
            content, unread = await asyncio.to_thread(backing.readable, raw)
            left = [f'The record of {one.kind} "{one.name}" cannot be read: {one.problem}' for one in unread]
            return Backup(content, cluster=cluster.id, notes=tuple(left))
    raise NotFound(kind="generation", name=wanted or "before this one")


async def forget(ground: Ground, name: str) -> None:
    """Remove a kept generation for good. Raises NotFound, Conflict for the one in force."""
    if name not in [cluster.generation for cluster in await generation.kept(ground.store)]:
        raise NotFound(kind="generation", name=name)
    async with ground.store.lock(RECOVERY, f'the removal of generation "{name}"'):
        await generation.remove(ground.store, name)
