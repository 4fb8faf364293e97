"""Backup, restore, rollback: the records are the old ones or the new ones, whatever breaks when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pvc.cluster import backing, nodes, recovery, tasks, vmrecovery
from pvc.cluster.backing import Ground
from pvc.cluster.opening import open_state
from pvc.cluster.state import Held, State
from pvc.errors import Busy, Conflict, NotFound, SessionLost
from pvc.model import backup
from pvc.model.backup import Backup, Taken
from pvc.model.content import Content
from pvc.model.records import (
    OVA,
    DaemonState,
    Desired,
    Made,
    Moving,
    Node,
    NodeStatus,
    OVADisk,
    Stray,
    encode,
)
from pvc.store import generation
from pvc.store.base import Create, Put
from pvc.store.embedded import EmbeddedSource
from pvc.store.paths import Paths
from tests.parts.interruption import cut_at
from tests.parts.recovery import Breaking, Meanwhile, content, ground, outcome, vm

UP = NodeStatus(daemon=DaemonState.RUN)


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[EmbeddedSource]:
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    yield source
    await source.aclose()


async def restore(source: EmbeddedSource, given: Content) -> recovery.Outcome:
    async with ground(source) as on:
        return await recovery.restore(on, Backup(given), who="me", force=True)


async def present(source: EmbeddedSource) -> Content:
    async with ground(source) as on:
        return backup.read(await backing.take(on)).content


async def node_up(state: State, name: str = "hv1", status: NodeStatus = UP) -> None:
    await nodes.join(state, Node(name=name))
    await nodes.publish(state, name, status)


async def test_a_backup_of_what_was_restored_is_the_backup(source: EmbeddedSource) -> None:
    wanted = content(5)
    await restore(source, wanted)
    assert await present(source) == wanted
    async with ground(source) as on:
        one, other = await backing.take(on), await backing.take(on)
    assert backup.document(wanted, "x", Taken(at="", revision=0, generation="")).count(b"\n") == one.count(b"\n")
    assert backup.read(one).content == backup.read(other).content


async def test_the_generation_before_is_kept_named_and_returned_to(source: EmbeddedSource) -> None:
    await restore(source, content(2))
    second = await restore(source, content(3, first=2))
    assert (second.generation, second.previous) == ("3", "2")
    async with ground(source) as on:
        before = await recovery.kept(on, "")
        done = await recovery.restore(on, before, who="me", force=True, made=Made.ROLLBACK)
    assert done.generation == "4"
    assert await present(source) == content(2)
    async with ground(source) as on:
        kept = await generation.kept(on.store)
        assert [(one.generation, one.made) for one in kept] == [
            ("1", Made.FIRST),
            ("2", Made.RESTORE),
            ("3", Made.RESTORE),
            ("4", Made.ROLLBACK),
        ]
        await recovery.forget(on, "2")
        assert [one.generation for one in await generation.kept(on.store)] == ["1", "3", "4"]
        with pytest.raises(Conflict, match="is in force"):
            await recovery.forget(on, "4")
        with pytest.raises(NotFound):
            await recovery.kept(on, "2")


async def test_sessions_end_with_their_generation_and_lose_no_change(source: EmbeddedSource) -> None:
    async with ground(source) as other:
        await restore(source, content(1))
        async with asyncio.timeout(10):
            await other.store.lost.wait()
        with pytest.raises(SessionLost):
            await other.store.commit(Create(other.state.paths.vm("x"), b""))


async def test_a_change_of_a_generation_that_was_left_is_refused_at_once(source: EmbeddedSource) -> None:
    """Also by a session that has not heard yet."""
    state = await open_state(source)
    state.store._watching.cancel()  # type: ignore[attr-defined]
    await state.store.commit(Create(state.paths.vm("early"), b""))
    await restore(source, content(1))
    with pytest.raises(SessionLost, match="in force"):
        await state.store.commit(Create(state.paths.vm("late"), b""))
    assert await state.store.children(state.paths.vms) == ["early"]
    await state.store.aclose()


async def test_while_a_generation_stands_still_changes_wait_and_then_happen(source: EmbeddedSource) -> None:
    async with ground(source) as on, ground(source) as other:
        await other.store.commit(Create(on.state.paths.vm("1"), b""))
        async with on.store.standing_still("me"):
            waiting = asyncio.create_task(other.store.commit(Create(on.state.paths.vm("2"), b"")))
            late = await open_state(source)
            opened = asyncio.create_task(late.store.commit(Create(on.state.paths.vm("3"), b"")))
            with pytest.raises(Busy, match="me"):
                async with other.store.standing_still("you"):
                    pass
            for _ in range(30):  # turns in which they could do it
                assert await on.store.children(on.state.paths.vms) == ["1"]
            assert not waiting.done() and not opened.done()
        await asyncio.gather(waiting, opened)
        assert await on.store.children(on.state.paths.vms) == ["1", "2", "3"]
        await late.store.aclose()


async def test_a_backup_is_of_one_moment_also_while_writes_go_on(source: EmbeddedSource) -> None:
    """Two VMs always bear the same mark, written in one transaction."""
    await restore(source, Content.ordered([], [Node(name="hv1")], [vm(1), vm(2)]))
    async with ground(source) as on, ground(source) as writer:
        stop = asyncio.Event()

        async def write() -> int:
            mark = 0
            while not stop.is_set():
                mark += 1
                puts = []
                for number in (1, 2):
                    held = await writer.state.vm(vm(number).uuid)
                    puts.append(writer.state.put_vm(held, replace(held.record, profile=str(mark))))
                await writer.store.commit(*puts)
            return mark

        writing = asyncio.create_task(write())
        seen = set()
        for _ in range(20):
            found = backup.read(await backing.take(on)).content
            seen.add(found.vms[0].profile)
            assert found.vms[0].profile == found.vms[1].profile
        stop.set()
        await writing
        assert len(seen) > 1


@pytest.fixture
async def up(source: EmbeddedSource) -> AsyncIterator[Ground]:
    """One node that answers."""
    async with ground(source) as on:
        await node_up(on.state)
        yield on


async def test_a_guest_that_runs_stays_as_it_runs_whatever_the_backup_says(up: Ground) -> None:
    runs = vm(1, desired=Desired.STOPPED, run=3)
    moved = vm(2, node="hv2", desired=Desired.RUNNING, run=9)
    off = vm(3, desired=Desired.STOPPED)
    await nodes.publish(
        up.state,
        "hv1",
        replace(UP, guests={runs.uuid: Stray(name="vm1", run=4), moved.uuid: Stray(name="vm2", run=2)}),
    )
    given = Backup(Content.ordered([], [Node(name="hv1")], [runs, moved, off]))
    done = await recovery.restore(up, given, who="me")
    assert [(one.node, one.desired, one.run) for one in done.prospect.content.vms] == [
        ("hv1", Desired.RUNNING, 4),
        ("hv1", Desired.RUNNING, 2),
        ("hv1", Desired.STOPPED, 0),
    ]
    assert 'go on as they run, which is not what the backup says: "vm1", "vm2"' in done.prospect.notes[0]


async def test_a_guest_that_is_just_being_started_counts_as_running(up: Ground) -> None:
    wanted = vm(1, desired=Desired.RUNNING, run=7)
    await up.state.store.commit(Create(up.state.paths.vm(wanted.uuid), encode(wanted)))
    done = await recovery.restore(up, Backup(Content.ordered([], [Node(name="hv1")], [vm(1)])), who="me")
    assert [(one.desired, one.run) for one in done.prospect.content.vms] == [(Desired.RUNNING, 7)]


async def test_a_guest_that_the_backup_does_not_know_is_a_refusal_unless_forced(up: Ground) -> None:
    await nodes.publish(up.state, "hv1", replace(UP, guests={"u": Stray(name="stranger")}))
    with pytest.raises(Conflict, match='VMs run that the backup does not know: "stranger"'):
        await recovery.restore(up, Backup(content(1)), who="me")
    assert (await recovery.restore(up, Backup(content(1)), who="me", force=True)).generation == "2"


@pytest.mark.parametrize("node", ["hv1", "hv2"])
async def test_a_node_that_does_not_answer_is_a_refusal_unless_forced(source: EmbeddedSource, node: str) -> None:
    async with ground(source) as on:
        await on.state.store.commit(Create(on.state.paths.node("hv1"), encode(Node(name="hv1"))))
        given = Backup(Content.ordered([], [Node(name=node)], [vm(1, node=node)]))
        with pytest.raises(Conflict, match=f'what runs on node "{node}" is not known'):
            await recovery.restore(on, given, who="me")


async def test_a_vm_that_is_being_migrated_is_a_refusal_also_by_force(up: Ground) -> None:
    moving = vm(1, moving=Moving(target="hv2"), task="t")
    await up.state.store.commit(Create(up.state.paths.vm(moving.uuid), encode(moving)))
    with pytest.raises(Conflict, match='VMs are being migrated: "vm1"'):
        await recovery.restore(up, Backup(content(1)), who="me", force=True)


async def test_a_task_under_way_is_a_refusal_unless_forced(up: Ground) -> None:
    await up.state.store.commit(tasks.creation(up.state, tasks.new(up.state, "upload", ("volume", "a/b"), "b")))
    with pytest.raises(Conflict, match='tasks are under way: "upload of b"'):
        await recovery.restore(up, Backup(content(1)), who="me")


async def test_a_guest_that_is_started_while_the_records_are_written_counts(up: Ground, source: EmbeddedSource) -> None:
    started = replace(UP, guests={vm(1).uuid: Stray(name="vm1", run=5)})
    meanwhile = Meanwhile(source, lambda: nodes.publish(up.state, "hv1", started))
    async with ground(meanwhile) as on:
        await recovery.restore(on, Backup(Content.ordered([], [Node(name="hv1")], [vm(1)])), who="me")
    assert (await present(source)).vms == (vm(1, desired=Desired.RUNNING, run=5),)


async def test_a_stranger_that_comes_while_the_records_are_written_calls_it_off(
    up: Ground, source: EmbeddedSource
) -> None:
    stranger = replace(UP, guests={"u": Stray(name="stranger")})
    async with ground(Meanwhile(source, lambda: nodes.publish(up.state, "hv1", stranger))) as on:
        with pytest.raises(Conflict, match="stranger"):
            await recovery.restore(on, Backup(Content.ordered([], [Node(name="hv1")], [vm(1)])), who="me")
    assert (await present(source)).vms == ()
    assert "2" not in await up.store.children("/pvc")


async def test_whatever_call_breaks_the_records_are_the_old_or_the_new_ones(tmp_path: Path) -> None:
    """The session dies there with all that it could have undone; the next restore finds nothing in its way."""
    source = await EmbeddedSource.open(str(tmp_path / "pvc.db"))
    old, new = content(2), content(2, first=2)
    await restore(source, old)
    ends = set()
    for after in (False, True):
        for number in range(1000):
            breaking = Breaking(source, number, after=after)
            problem = await outcome(_attempt(breaking, new))
            found = await present(source)
            assert found in (old, new)
            ends.add((bool(problem), found == new))
            if not breaking.broke:
                assert problem == "" and found == new
                break
            await restore(source, old)
            assert await present(source) == old
    assert ends == {(True, False), (True, True), (False, True)} or ends == {(True, False), (False, True)}
    async with ground(source) as on:
        await recovery.clear(on.state)
        complete = [one.generation for one in await generation.kept(on.store)]
        assert [name for name in await on.store.children("/pvc") if name.isdigit()] == sorted(complete)
    await source.aclose()


async def _attempt(source: Breaking, new: Content) -> None:
    async with ground(source) as on:
        await recovery.restore(on, Backup(new), who="me", force=True)


async def test_a_restore_that_is_cut_off_anywhere_leaves_the_old_or_the_new_records(source: EmbeddedSource) -> None:
    old, new = content(2), content(2, first=2)
    await restore(source, old)
    for suspension in range(1000):
        async with ground(source) as on:
            cut = await cut_at(recovery.restore(on, Backup(new), who="me", force=True), suspension)
        found = await present(source)
        assert found in (old, new)
        if not cut:
            assert found == new
            break
        if found == new:
            await restore(source, old)
    async with ground(source) as on:
        await recovery.clear(on.state)
        complete = [one.generation for one in await generation.kept(on.store)]
        assert sorted(name for name in await on.store.children("/pvc") if name.isdigit()) == sorted(complete)


async def test_a_refused_restore_leaves_nothing_behind(up: Ground) -> None:
    before = await up.store.children("/pvc")
    await nodes.publish(up.state, "hv1", replace(UP, guests={"u": Stray(name="stranger")}))
    with pytest.raises(Conflict):
        await recovery.restore(up, Backup(content(1)), who="me")
    assert [name for name in await up.store.children("/pvc") if name.isdigit()] == [
        name for name in before if name.isdigit()
    ]


@pytest.mark.parametrize("mark", [b"", b"removed"])
async def test_what_an_interrupted_restore_or_removal_left_is_gone_after_the_next_one(
    source: EmbeddedSource, mark: bytes
) -> None:
    paths = Paths("/pvc/7")
    async with ground(source) as on:
        left = [Create(path) for path in (paths.root, paths.vms, paths.nodes, paths.node("hv1"), paths.vm("1"))]
        await on.store.commit(*left, Create(paths.node_status("hv1")), Put(paths.root, mark, 0))
    await restore(source, content(1))
    async with ground(source) as on:
        assert [name for name in await on.store.children("/pvc") if name.isdigit()] == ["1", "2"]


async def test_two_restores_at_once_are_one_and_a_refusal(source: EmbeddedSource) -> None:
    async with ground(source) as one, ground(source) as other:
        results = await asyncio.gather(
            recovery.restore(one, Backup(content(1)), who="me", force=True),
            recovery.restore(other, Backup(content(2)), who="you", force=True),
            return_exceptions=True,
        )
    assert sorted(type(result).__name__ for result in results) in (["Busy", "Outcome"], ["Outcome", "SessionLost"])
    assert await present(source) in (content(1), content(2))


async def test_a_cluster_is_initialised_once_unless_overwritten(source: EmbeddedSource) -> None:
    async with ground(source) as on:
        first = await recovery.initialise(on, who="me", overwrite=False)
    async with ground(source) as on:
        with pytest.raises(Conflict, match="is initialised already"):
            await recovery.initialise(on, who="me", overwrite=False)
    await restore(source, content(2))
    async with ground(source) as on:
        done = await recovery.initialise(on, who="me", overwrite=True)
    assert (first.previous, done.previous) == ("1", "3")
    assert await present(source) == Content()


async def test_a_cluster_that_has_vms_is_initialised(source: EmbeddedSource) -> None:
    async with ground(source) as on:
        await on.store.commit(Create(on.state.paths.vm("damaged"), b"{"))
        with pytest.raises(Conflict, match="is initialised already"):
            await recovery.initialise(on, who="me", overwrite=False)


async def test_a_record_that_cannot_be_read_is_told_in_the_backup(source: EmbeddedSource) -> None:
    await restore(source, content(1))
    async with ground(source) as on:
        await on.store.commit(Create(on.state.paths.vm("damaged"), b"{"))
        found = backup.read(await backing.take(on))
    assert [one.name for one in found.content.vms] == ["vm1"]
    assert found.notes == ('The vm "damaged" could not be read when the backup was taken, and is not restored.',)


async def test_an_ova_comes_back_and_one_that_was_half_made_does_not(source: EmbeddedSource) -> None:
    """What clears those away would remove the volumes that it names."""
    ova = OVA(name="whole", whole=True, vcpus=1, memory=64, disks=(OVADisk(dev="sda", volume="vms/a", size=1),))
    async with ground(source) as on:
        for one in (ova, replace(ova, name="half", whole=False)):
            await on.store.commit(Create(on.state.paths.ova(one.name), encode(one)))
        saved = backup.read(await backing.take(on))
        done = await recovery.restore(on, saved, who="me")
    assert done.prospect.notes == ('There is no pool "vms" here, which volumes should be in.',)
    async with ground(source) as on:
        assert [held.record for held in await on.state.ovas() if isinstance(held, Held)] == [ova]


async def test_one_vm_is_restored_alone_and_runs_on_as_it_ran(up: Ground) -> None:
    older = vm(1, profile="old", desired=Desired.STOPPED, run=1)
    runs = vm(1, profile="new", desired=Desired.RUNNING, run=4)
    await up.state.store.commit(
        Create(up.state.paths.vm(runs.uuid), encode(runs)), Create(up.state.paths.vm_name("vm1"), runs.uuid.encode())
    )
    given = Backup(Content.ordered([], [Node(name="hv1")], [older, vm(2)]))
    planned = [(await vmrecovery.prospect(up, given, name)).plan for name in ("vm1", "vm2")]
    assert [[one.name for one in plan.creates] for plan in planned] == [[], ["vm2"]]
    assert [[one.fields for one in plan.changes] for plan in planned] == [[("profile",)], []]
    await vmrecovery.restore(up, given, "vm1", force=False)
    assert (await up.state.vm(runs.uuid)).record == replace(runs, profile="old")
    await vmrecovery.restore(up, given, "vm2", force=False)
    assert (await up.state.find_vm("vm2")).record == vm(2)
    with pytest.raises(NotFound, match="vm3"):
        await vmrecovery.restore(up, given, "vm3", force=False)
