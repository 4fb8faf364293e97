"""Devices under way to a VM: its configuration has one only when it is plugged in, yet nobody else may have it."""

from __future__ import annotations

from pvc.cluster.state import State
from pvc.errors import NotFound
from pvc.model import domain
from pvc.model.records import VM, TaskStatus

ATTACH = "attach"


async def arriving(state: State, vm: VM) -> list[domain.Element]:
    """What the task that holds `vm` plugs in: one device, or none.

    A task that was done since `vm` was read counts, for `vm` does not show the device yet.
    """
    if not vm.task:
        return []
    try:
        task = (await state.task(vm.task)).record
    except NotFound:
        return []
    if task.kind != ATTACH or task.status not in (TaskStatus.RUNNING, TaskStatus.DONE):
        return []
    return [domain.parse_device(task.args["device"])]
