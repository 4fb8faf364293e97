"""What keeps a guest from coming to a node live, or from finding its disks there, is said before anything happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pvc.agent import receiving
from pvc.cluster import migrations
from pvc.errors import NoRoom
from pvc.model.migration import Phase, Receive
from pvc.model.records import MigrationMethod
from pvc.storage.directory import open_directory
from pvc.units import MIB
from tests.unit.agent.pair import SOURCE, TARGET, Pair

ENCRYPTED = "qemu+tls://hv2/system"


async def test_a_target_without_certificates_is_refused_before_there_is_a_task(pair: Pair) -> None:
    pair.change(TARGET, migration_uri=ENCRYPTED, migration_certificates=str(pair.links))
    async with pair.agents():
        uuid = await pair.running()
        why = r'cannot go to hv2: cannot move guests encrypted: ".*ca-cert\.pem" is not there'
        with pytest.raises(NoRoom, match=why):
            await pair.ask(node=TARGET)
        with pytest.raises(NoRoom, match="fits no other node: hv2: cannot move guests encrypted: "):
            await pair.ask()
        await pair.is_once_on(SOURCE, uuid)


async def test_a_source_without_certificates_is_refused_before_there_is_a_task(pair: Pair, certificates: Path) -> None:
    pair.change(TARGET, migration_uri=ENCRYPTED, migration_certificates=str(certificates))
    pair.change(SOURCE, migration_certificates=str(pair.links))
    async with pair.agents():
        uuid = await pair.running()
        why = r"takes guests encrypted alone, and the VM's own node cannot move guests encrypted: \".*ca-cert\.pem\" is"
        with pytest.raises(NoRoom, match=why):
            await pair.ask()
        await pair.is_once_on(SOURCE, uuid)


async def test_certificates_keep_no_guest_from_going_by_a_shutdown(pair: Pair) -> None:
    pair.change(TARGET, migration_uri=ENCRYPTED, migration_certificates=str(pair.links))
    async with pair.agents():
        uuid = await pair.running(method=MigrationMethod.SHUTDOWN)
        await pair.move()
        await pair.is_once_on(TARGET, uuid, starts=2)


@pytest.mark.parametrize("changed", [{"migration_uri": ""}, {"migration_uri": ENCRYPTED}])
async def test_a_target_that_lost_what_it_needs_since_it_told_shuts_nothing_down(
    pair: Pair, changed: dict[str, str]
) -> None:
    async with pair.agent(TARGET):
        pass  # its facts are known now
    async with pair.agent(SOURCE), pair.alive(TARGET) as state:
        uuid = await pair.running()
        outcome = await pair.ask()
        assert outcome.task is not None
        pair.change(TARGET, **changed)
        await receiving.receive(pair.hands(TARGET, state), outcome.vm, outcome.task, Receive.PREPARE, None)
        message = (await pair.ended(outcome.task.id)).problem["message"]
        assert message.startswith('Node "hv2" ')
        assert "takes no live migrations" in message or "cannot move guests encrypted" in message
        await pair.is_once_on(SOURCE, uuid)


@pytest.mark.parametrize("method", MigrationMethod)
async def test_a_pool_that_is_the_targets_own_is_not_taken_for_the_one_that_all_share(
    pair: Pair, tmp_path: Path, method: MigrationMethod
) -> None:
    """By another configuration than the server's: a volume of that name would be another volume."""
    own = await open_directory("local", tmp_path / "own")
    await own.create("web1", MIB)
    async with pair.agent(TARGET):
        pass  # its facts are known now
    async with pair.agent(SOURCE), pair.alive(TARGET) as state:
        uuid = await pair.running(method=method)
        outcome = await pair.ask()
        assert outcome.task is not None
        hands = replace(pair.hands(TARGET, state), pools={"local": own})
        await receiving.receive(hands, outcome.vm, outcome.task, Receive.PREPARE, None)
        message = (await pair.ended(outcome.task.id)).problem["message"]
        assert 'has the volume "local/web1" in a pool that only node "hv1" can open' in message
        await pair.is_once_on(SOURCE, uuid)
    await own.aclose()


async def test_a_source_that_lost_its_certificates_gives_no_guest_to_a_target_that_has_them(pair: Pair) -> None:
    async with pair.agent(TARGET):
        pass  # its facts are known now
    async with pair.agent(SOURCE), pair.alive(TARGET):
        uuid = await pair.running()
        task = (await pair.ask()).task
        assert task is not None
        args = {"uri": ENCRYPTED, "console_log": "/x"}
        await migrations.proceed(pair.state, uuid, task.id, Phase.READY, after=Phase.PREPARE, ring=True, args=args)
        ended = await pair.ended(task.id)
        assert ended.problem["message"].startswith('Node "hv1" cannot move guests encrypted: ')
        await pair.is_once_on(SOURCE, uuid)


async def test_a_target_that_takes_none_live_is_no_reason_for_a_shutdown(pair: Pair) -> None:
    pair.change(TARGET, migration_uri="")
    async with pair.agents():
        uuid = await pair.running()
        with pytest.raises(NoRoom, match="takes no live migrations"):
            await pair.move()
        await pair.is_once_on(SOURCE, uuid)
