"""Tags of a VM: one change a request, none by accident."""

from __future__ import annotations

from msgspec.structs import replace

from pvc.cluster.state import State
from pvc.errors import Changed, Conflict, NotFound
from pvc.model.records import VM, Tag


def added(vm: VM, tag: Tag) -> VM:
    """Raises Conflict when that would change a system tag or lift a protection."""
    old = next((one for one in vm.tags if one.name == tag.name), None)
    if old is not None:
        if old.type != "user":
            raise Conflict(kind="tag", name=tag.name, problem="is not a user tag and cannot be changed")
        if old.protected and not tag.protected:
            raise Conflict(
                kind="tag", name=tag.name, problem="is protected and cannot be added again without protection"
            )
    rest = [one for one in vm.tags if one.name != tag.name]
    return replace(vm, tags=tuple(sorted((*rest, tag), key=lambda one: one.name)))


def removed(vm: VM, name: str) -> VM:
    """Raises NotFound, Conflict for a protected or system tag."""
    tag = next((one for one in vm.tags if one.name == name), None)
    if tag is None:
        raise NotFound(kind="tag", name=name)
    if tag.type != "user":
        raise Conflict(kind="tag", name=name, problem="is not a user tag and cannot be removed")
    if tag.protected:
        raise Conflict(kind="tag", name=name, problem="is protected and cannot be removed")
    return replace(vm, tags=tuple(one for one in vm.tags if one.name != name))


async def change(state: State, vm_name: str, action: str, tag: Tag) -> None:
    """action: "add" or "remove". Tries again when another request came between."""
    while True:
        held = await state.find_vm(vm_name)
        new = added(held.record, tag) if action == "add" else removed(held.record, tag.name)
        try:
            await state.write_vm(held, new)
        except Changed:
            continue
        return
