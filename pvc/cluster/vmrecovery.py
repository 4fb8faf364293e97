"""Restoring one VM of a backup, in the generation in force: its configuration, or the VM when it is gone.

Whether it runs, and where, stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from pvc.cluster import scenery, vms
from pvc.cluster.backing import Ground
from pvc.cluster.recovery import Prospect, refuse
from pvc.cluster.state import Held
from pvc.errors import Conflict, NotFound
from pvc.model import recovery
from pvc.model.backup import Backup
from pvc.model.content import Content, plan
from pvc.model.records import VM
from pvc.model.recovery import Obstacles, Scene


@dataclass(frozen=True, slots=True)
class _Found:
    """held: the VM as it is, None when it is gone. wanted: as it is to be."""

    held: Held[VM] | None
    wanted: VM
    obstacles: Obstacles


async def prospect(ground: Ground, backup: Backup, name: str) -> Prospect:
    """Raises NotFound, Conflict for what no `force` passes over."""
    found = await _find(ground, backup, name)
    now = Content(vms=(found.held.record,) if found.held else ())
    then = Content(vms=(found.wanted,))
    notes = [*backup.notes, *await scenery.absent(ground.pools, then)]
    if found.held is not None:
        vms.check_free(found.held.record)
    return Prospect(then, plan(now, then), tuple(notes), found.obstacles)


async def restore(ground: Ground, backup: Backup, name: str, *, force: bool) -> str:
    """Returns what was done, a sentence. Raises NotFound, Busy, InUse, AlreadyExists, NodeUnavailable."""
    found = await _find(ground, backup, name)
    refuse(found.obstacles, force=force)
    if found.held is None:
        await vms.define(ground.state, ground.pools, found.wanted)
        return f'Restored VM "{name}", which was gone.'
    await vms.rewrite(ground.state, ground.pools, found.held, found.wanted)
    return f'Restored the configuration of VM "{name}"; a running guest has it from its next start on.'


async def _find(ground: Ground, backup: Backup, name: str) -> _Found:
    vm = next((vm for vm in backup.content.vms if vm.name == name), None)
    if vm is None:
        raise NotFound(kind="VM in the backup", name=name)
    try:
        held = await ground.state.vm(vm.uuid)
    except NotFound:
        return await _gone(ground, backup, vm)
    if held.record.name != name:
        raise Conflict(kind="VM", name=name, problem=f'is called "{held.record.name}" now: rename it first')
    old = held.record
    wanted = replace(
        vm,
        node=old.node,
        last_node=old.last_node,
        desired=old.desired,
        how=old.how,
        deadline_s=old.deadline_s,
        run=old.run,
    )
    return _Found(held, wanted, Obstacles())


async def _gone(ground: Ground, backup: Backup, vm: VM) -> _Found:
    await ground.caught_up()
    scene, only = await scenery.scene(ground.view, ground.state), Content(vms=(vm,))
    unsure = Scene(silent=scene.silent, answering=scene.answering)
    [wanted] = recovery.kept_running(only, scene.guests, foreign=backup.foreign).vms
    return _Found(None, wanted, recovery.obstacles(only, unsure))
