"""What hypervisors and pools say when the records are about to be replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from pvc.cluster import volumes
from pvc.cluster.state import Held, State, View
from pvc.errors import InvalidXML, NotFound, PVCError, StoreUnavailable
from pvc.model.content import Content
from pvc.model.records import VM, DaemonState, TaskStatus
from pvc.model.recovery import Guest, Scene, guests_of, is_wanted
from pvc.storage.base import Pool


async def scene(view: View, state: State, ours: str = "") -> Scene:
    """view: of everything but tasks. ours: the id of the task that asks, which is in nobody's way."""
    vms = [held.record for held in await view.vms() if isinstance(held, Held)]
    names = {vm.uuid: vm.name for vm in vms}
    guests: dict[str, Guest] = {}
    silent, answering = {}, set()
    for node in [item.record.name if isinstance(item, Held) else item.key for item in await view.nodes()]:
        if problem := await _silence(view, node):
            silent[node] = problem
        else:
            answering.add(node)
        for guest in guests_of(node, await view.node_status(node), names):
            guests.setdefault(guest.uuid, guest)
    for vm in vms:
        guests |= await _own(view, vm, guests.get(vm.uuid))
    busy = [
        f"{held.record.kind} of {held.record.name}"
        for held in await state.tasks()
        if isinstance(held, Held) and held.record.status is TaskStatus.RUNNING and held.record.id != ours
    ]
    moving = tuple(vm.name for vm in vms if vm.moving is not None)
    return Scene(guests, silent, frozenset(answering), moving, tuple(busy))


async def _silence(view: View, node: str) -> str:
    """Why it is not known what runs there, "" when it is."""
    if not await view.node_alive(node):
        return "its agent does not answer"
    status = await view.node_status(node)
    if status.problem:
        return status.problem.removesuffix(".")
    return "" if status.daemon is DaemonState.RUN else "its agent has not looked yet"


async def still_away(state: State, nodes: Iterable[str], within_s: float) -> list[str]:
    """Wait until the agents of all `nodes` answer, or for `within_s`; return those of which that is not known."""
    away = sorted(nodes)
    paths = [path for name in away for path in (state.paths.node_alive(name), state.paths.node_status(name))]
    with suppress(TimeoutError, StoreUnavailable):
        async with asyncio.timeout(within_s), state.store.watch(*paths) as watch:
            while away := [name for name in away if await _silence(state, name)]:
                await watch.wait()
    return away


async def _own(view: View, vm: VM, seen: Guest | None) -> dict[str, Guest]:
    """A VM of the cluster that runs where it belongs, or may be about to."""
    observed = await view.observed(vm)
    if seen is not None and seen.node == vm.node:
        return {}
    if is_wanted(vm, observed):
        return {vm.uuid: Guest(vm.uuid, vm.name, vm.node, vm.run)}
    return {}


async def absent(pools: Mapping[str, Pool], content: Content) -> list[str]:
    """What the pools say of the disks, a sentence each."""
    used = await asyncio.to_thread(_used, content)
    said = []
    for name in sorted({volume.partition("/")[0] for volume in used}):
        try:
            there = {f"{name}/{volume.name}" for volume in await (await volumes.pool_of(pools, name)).volumes()}
        except NotFound:
            said.append(f'There is no pool "{name}" here, which volumes should be in.')
        except PVCError as exc:
            said.append(f'Whether the volumes in pool "{name}" are there is not known: {exc}')
        else:
            mine = {volume for volume in used if volume.startswith(f"{name}/")}
            said += [f'Volume "{volume}" of {used[volume]} is missing.' for volume in sorted(mine - there)]
    return said


def _used(content: Content) -> dict[str, str]:
    """Whose it is, by POOL/VOLUME."""
    found = {disk.volume: f'OVA "{ova.name}"' for ova in content.ovas for disk in ova.disks}
    for vm in content.vms:
        try:
            found |= dict.fromkeys(volumes.of_vm(vm), f'VM "{vm.name}"')
        except InvalidXML:  # of a kept generation; its node will say so
            continue
    return found
