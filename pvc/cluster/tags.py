"""Tags of a VM: one change a request, none by accident."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from pvc.cluster.state import State
from pvc.errors import Changed, Conflict, NotFound
from pvc.model.records import VM, Lifted, Tag

ADD, REMOVE, UNPROTECT = "add", "remove", "unprotect"

# Lifted protections that a VM's record keeps.
KEPT = 20

log = logging.getLogger("pvc.cluster")


def added(vm: VM, tag: Tag) -> VM:
    """Raises Conflict when that would change a system tag or lift a protection."""
    old = _find(vm, tag.name)
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
    tag = _need(vm, name)
    if tag.type != "user":
        raise Conflict(kind="tag", name=name, problem="is not a user tag and cannot be removed")
    if tag.protected:
        problem = 'is protected and cannot be removed ("pvc vm tag unprotect" lifts that)'
        raise Conflict(kind="tag", name=name, problem=problem)
    return replace(vm, tags=tuple(one for one in vm.tags if one.name != name))


def unprotected(vm: VM, name: str, *, who: str, at: float) -> VM:
    """The tag can be removed from then on. Raises NotFound, Conflict for a system tag or one without protection."""
    tag = _need(vm, name)
    if tag.type != "user":
        raise Conflict(kind="tag", name=name, problem="is not a user tag and cannot be changed")
    if not tag.protected:
        raise Conflict(kind="tag", name=name, problem="is not protected")
    tags = tuple(replace(one, protected=False) if one.name == name else one for one in vm.tags)
    lifted = (*vm.lifted, Lifted(tag=name, who=who, at=at))
    return replace(vm, tags=tags, lifted=lifted[-KEPT:])


def _find(vm: VM, name: str) -> Tag | None:
    return next((one for one in vm.tags if one.name == name), None)


def _need(vm: VM, name: str) -> Tag:
    tag = _find(vm, name)
    if tag is None:
        raise NotFound(kind="tag", name=name, owner=f'VM "{vm.name}"')
    return tag


async def change(state: State, vm_name: str, action: str, tag: Tag, *, who: str) -> None:
    """action: ADD, REMOVE or UNPROTECT. Tries again when another request came between."""
    while True:
        held = await state.find_vm(vm_name)
        new = _changed(held.record, action, tag, who=who, at=state.now())
        try:
            await state.write_vm(held, new)
        except Changed:
            continue
        if action == UNPROTECT:
            log.info('Tag "%s" of VM "%s" was unprotected by %s', tag.name, vm_name, who)
        return


def _changed(vm: VM, action: str, tag: Tag, *, who: str, at: float) -> VM:
    match action:
        case "add":
            return added(vm, tag)
        case "remove":
            return removed(vm, tag.name)
        case _:
            return unprotected(vm, tag.name, who=who, at=at)
