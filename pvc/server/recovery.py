"""/initialize, /backup, /restore, /rollback, /generations: the records as a whole."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from pvc.cluster import backing, leftovers, recovery, scenery, sealing, vmrecovery
from pvc.cluster.backing import Ground
from pvc.cluster.recovery import Outcome, Prospect, Wish
from pvc.cluster.tasks import Running
from pvc.errors import InvalidInput, NotPermitted
from pvc.model import backup, domain
from pvc.model.backup import Backup
from pvc.model.content import Plan
from pvc.model.foreign import foreign_parts
from pvc.model.records import Made, Role
from pvc.model.recovery import listed
from pvc.server.auth import BOOK
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.parse import DOCUMENT, Nothing
from pvc.server.parts import CONFIG, POOLS, message, who
from pvc.server.passphrase import HEADER, passphrase_of
from pvc.server.session import SESSION, state_of, view_of
from pvc.server.working import at_work, new_task
from pvc.store import generation
from pvc.store.paths import RECOVERY

endpoints = Endpoints()

# Some 200,000 VMs.
MOST_BYTES = 512 << 20

# Agents try again every 2 s, and then look at every guest.
_REJOIN_S = 15.0


class Confirmed(msgspec.Struct, kw_only=True):
    confirmed: str = msgspec.field(default="", name="yes-i-really-mean-it")

    def check(self) -> None:
        if self.confirmed != "yes":
            raise InvalidInput({"yes-i-really-mean-it": 'must be "yes"'})


class Initialize(Confirmed, kw_only=True):
    overwrite: bool = False
    dry_run: bool = False


class Take(msgspec.Struct, kw_only=True):
    """secrets: locked by the passphrase in the header X-Pvc-Passphrase."""

    secrets: bool = False


class Replace(Confirmed, kw_only=True):
    """wait: answer when all is done, else with the task that it is."""

    dry_run: bool = False
    force: bool = False
    wait: bool = True


class Restore(Replace, kw_only=True):
    """cluster_data: the backup, where it is not the body. vm: only this one."""

    cluster_data: str = ""
    vm: str = ""


class Rollback(Replace, kw_only=True):
    generation: str = ""


async def _ground(request: web.Request) -> Ground:
    return Ground(state_of(request), await view_of(request), request.app[POOLS])


@endpoints.post("/initialize", "Begin anew, without any records.", Initialize, role=Role.ADMIN)
async def initialize(request: web.Request, given: Initialize) -> web.Response:
    """It passes over the obstacles that a restore may be forced to pass over."""
    ground = await _ground(request)
    if given.dry_run:
        expected = await recovery.prospect(ground, await recovery.nothing(ground, overwrite=given.overwrite))
        return _told(dataclasses.replace(expected, obstacles=dataclasses.replace(expected.obstacles, others=())))
    given.check()
    done = await recovery.initialise(ground, who=who(request), overwrite=given.overwrite)
    return await _done(request, done)


@endpoints.get("/backup", "Everything that is configuration, as one document.", Take, role=Role.ADMIN)
async def take_backup(request: web.Request, given: Take) -> web.Response:
    passphrase = passphrase_of(request)
    if given.secrets != bool(passphrase):
        need = "is needed" if given.secrets else 'is of use with "secrets" only'
        raise InvalidInput({HEADER: need})
    data = await backing.take(await _ground(request), passphrase)
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=data, content_type="application/json", charset="utf-8", headers=headers)


@endpoints.post("/restore", "Restore a backup.", Restore, role=Role.ADMIN, most=MOST_BYTES)
async def restore(request: web.Request, given: Restore) -> web.Response:
    """The backup is the body, of the type DOCUMENT, or the parameter `cluster_data`. A passphrase opens its secrets."""
    if not given.dry_run:
        given.check()
    found = await _given(request, given.cluster_data)
    ground = await _ground(request)
    if given.vm:
        return await _restore_vm(ground, found, given)
    found = await asyncio.to_thread(sealing.opened, found, passphrase_of(request))
    return await _replace(request, ground, found, given, Made.RESTORE)


async def _given(request: web.Request, text: str) -> Backup:
    data = await request.clone(client_max_size=MOST_BYTES).read() if request.content_type == DOCUMENT else text.encode()
    if not data:
        raise InvalidInput({"cluster_data": "is missing"})
    return await asyncio.to_thread(_checked, data, request.app[CONFIG].hypervisor.allow_host_devices)


def _checked(data: bytes, allow_host_devices: bool) -> Backup:
    found = backup.read(data)
    for vm in found.content.vms if not allow_host_devices else ():
        if parts := foreign_parts(domain.parse(vm.xml)):
            problem = f'The XML of VM "{vm.name}" uses {", ".join(parts)}: allow it by hypervisor.allow_host_devices'
            raise NotPermitted(problem=problem)
    return found


async def _restore_vm(ground: Ground, found: Backup, given: Restore) -> web.Response:
    if given.dry_run:
        return _told(await vmrecovery.prospect(ground, found, given.vm))
    return message(await vmrecovery.restore(ground, found, given.vm, force=given.force))


@endpoints.post("/rollback", "Return to the generation before.", Rollback, role=Role.ADMIN)
async def rollback(request: web.Request, given: Rollback) -> web.Response:
    if not given.dry_run:
        given.check()
    ground = await _ground(request)
    found = await recovery.kept(ground, given.generation)
    return await _replace(request, ground, found, given, Made.ROLLBACK)


async def _replace(request: web.Request, ground: Ground, found: Backup, given: Replace, made: Made) -> web.Response:
    """As a task, which the new generation has as well."""
    if given.dry_run:
        return _told(await recovery.prospect(ground, found))
    task = new_task(request, made, ("cluster", "pvc"), "pvc", phase="reading")
    wish = Wish(made, who(request), force=given.force)
    outcomes: list[Outcome] = []

    async def work(running: Running, _held: None) -> str:
        outcomes.append(await recovery.replace_all(ground, found, wish, running))
        return outcomes[0].told

    holding = ground.store.lock(RECOVERY, leftovers.holder(task))
    if await at_work(request.app, ground.state, task, holding, work, wait=given.wait):
        return await _done(request, outcomes[0], task=task.id)
    return message(f"The {made} is under way.", task=task.id)


@endpoints.get("/generations", "Generations of the records that are kept.", answer=Answer.LIST, role=Role.ADMIN)
async def list_generations(request: web.Request, _given: Nothing) -> web.Response:
    store = state_of(request).store
    _, current = await generation.read_current(store)
    return web.json_response(
        [
            {
                "generation": one.generation,
                "in_force": one.generation == current.generation,
                "made": one.made or "first",
                "who": one.who,
                "previous": one.previous,
                "cluster": one.id,
                "created_at": datetime.fromtimestamp(one.created_at, UTC).isoformat(timespec="seconds"),
            }
            for one in await generation.kept(store)
        ]
    )


@endpoints.delete("/generations/{generation}", "Remove a kept generation for good.", role=Role.ADMIN)
async def remove_generation(request: web.Request, _given: Nothing) -> web.Response:
    name = request.match_info["generation"]
    await recovery.forget(await _ground(request), name)
    return message(f'Removed generation "{name}".')


async def _done(request: web.Request, done: Outcome, **more: str) -> web.Response:
    """Once this server answers from the new generation, and the agents that answered before do so again."""
    await request.app[SESSION].in_generation(done.generation)
    state = state_of(request)
    await request.app[BOOK].read(state.store)
    away = await scenery.still_away(state, done.prospect.answering, _REJOIN_S)
    told = f" These nodes have not rejoined yet: {listed(away)}." if away else ""
    return message(
        done.sentence + told,
        generation=done.generation,
        previous=done.previous,
        **more,
        **_shown(done.prospect),
    )


def _told(expected: Prospect) -> web.Response:
    plan = expected.plan
    counts = f"{len(plan.creates)} made, {len(plan.changes)} changed and {len(plan.deletes)} deleted"
    return message(f"Nothing was changed; there would be {counts}.", **_shown(expected))


def _shown(expected: Prospect) -> dict[str, Any]:
    plan: Plan = expected.plan
    return {
        "plan": msgspec.to_builtins(plan),
        "notes": list(expected.notes),
        "obstacles": [
            *({"problem": one, "force": False} for one in expected.obstacles.firm),
            *({"problem": one, "force": True} for one in expected.obstacles.others),
        ],
    }
