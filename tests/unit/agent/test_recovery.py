"""A restore under running agents: they follow it by themselves, and no guest is stopped or started anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pvc.agent import main
from pvc.agent.settings import Door
from pvc.cluster import backing, power, recovery
from pvc.cluster.opening import open_state
from pvc.model import backup
from pvc.store import generation
from tests.parts.recovery import ground
from tests.unit.agent.lab import NODE, TIMEOUT_S, Lab


async def test_an_agent_follows_a_restore_and_adopts_the_guests_that_ran_on(lab: Lab, tmp_path: Path) -> None:
    """Two run, one of them anew since the backup; one was made since, and is a stray from then on."""
    ready = asyncio.Event()
    here = {name: str(tmp_path / name) for name in ("agent.sock", "consoles", "agent.log")}
    door = Door(socket=here["agent.sock"], console_path=here["consoles"], log_path=here["agent.log"])
    agent = asyncio.create_task(main.run(lab.source, lab.hypervisor, lab.pools, lab.settings, door, ready.set))
    async with asyncio.timeout(TIMEOUT_S):
        await ready.wait()
        uuids = [await lab.running("web1"), await lab.running("web2")]
        async with ground(lab.source, **lab.pools) as on:
            saved = backup.read(await backing.take(on))
            await power.wait(lab.state, await lab.ask("web2", "restart"), TIMEOUT_S)
            late = await lab.running("late")
            acts = {uuid: lab.acts(uuid) for uuid in [*uuids, late]}
            done = await recovery.restore(on, saved, who="me", force=True)
        lab.state = await open_state(lab.source)
        assert lab.state.paths.root == f"/pvc/{done.generation}"
        async with lab.state.store.watch(lab.state.paths.node_status(NODE), lab.state.paths.node(NODE)) as watch:
            while "late" not in (await lab.status()).strays:
                await watch.wait()
        for uuid in uuids:
            seen, record = await lab.observed(uuid), await lab.vm(uuid)
            assert (seen.power, seen.run) == ("running", record.run)
        assert {uuid: lab.acts(uuid) for uuid in [*uuids, late]} == acts
        assert len(await generation.kept(lab.state.store)) == 2
    agent.cancel()
    await asyncio.gather(agent, return_exceptions=True)
    await lab.state.store.aclose()
