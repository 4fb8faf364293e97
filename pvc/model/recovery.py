"""What a restore makes of a backup where guests run: none is stopped, moved or restarted by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from pvc.model.content import Content
from pvc.model.observing import ALIVE
from pvc.model.records import VM, Desired, Node, NodeStatus, Observed
from pvc.model.states import is_over


@dataclass(frozen=True, slots=True)
class Guest:
    """One that runs, or is just being started. run: None where nothing says that pvc started it."""

    uuid: str
    name: str
    node: str
    run: int | None


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of a cluster's guests. silent: nodes of which it is not known what runs there, with why."""

    guests: Mapping[str, Guest] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    answering: frozenset[str] = frozenset()
    moving: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()


def guests_of(node: str, status: NodeStatus, names: Mapping[str, str]) -> Iterator[Guest]:
    """names: of VMs, by UUID."""
    for uuid, seen in status.vms.items():
        if seen.power in ALIVE:
            yield Guest(uuid, names.get(uuid, uuid), node, seen.run)
    for uuid, stray in status.guests.items():
        yield Guest(uuid, stray.name, node, stray.run)


def is_wanted(vm: VM, observed: Observed) -> bool:
    """Whether its node may be starting it at this moment."""
    return vm.desired is Desired.RUNNING and not is_over(vm, observed)


def kept_running(content: Content, guests: Mapping[str, Guest], *, foreign: bool) -> Content:
    """The content with every VM whose guest runs as that guest is: where it runs, running, in that run.

    foreign: VMs come from another cluster, where they may run on; those that do not run here are not started.
    """
    vms = [_as_it_runs(vm, guests[vm.uuid]) if vm.uuid in guests else _at_rest(vm, foreign) for vm in content.vms]
    known = {node.name for node in content.nodes}
    needed = {vm.node for vm in vms} - known
    nodes = [*content.nodes, *(Node(name=name) for name in needed)]
    return Content.ordered(content.networks, nodes, vms, content.ovas)


def _as_it_runs(vm: VM, guest: Guest) -> VM:
    run = vm.run if guest.run is None else guest.run
    return replace(vm, desired=Desired.RUNNING, node=guest.node, run=run)


def _at_rest(vm: VM, foreign: bool) -> VM:
    return replace(vm, desired=Desired.STOPPED) if foreign and vm.desired is Desired.RUNNING else vm


@dataclass(frozen=True, slots=True)
class Obstacles:
    """firm: what nothing helps against but its end. others: what `force` passes over."""

    firm: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def obstacles(backup: Content, scene: Scene) -> Obstacles:
    known = {vm.uuid for vm in backup.vms}
    strangers = sorted(guest.name for guest in scene.guests.values() if guest.uuid not in known)
    wanted = {vm.node for vm in backup.vms if vm.uuid not in scene.guests}
    silent = {**scene.silent, **dict.fromkeys(wanted - scene.answering - scene.silent.keys(), "no agent answers")}
    others = []
    if strangers:
        others.append(f"VMs run that the backup does not know: {listed(strangers)}")
    others += [f'what runs on node "{name}" is not known: {why}' for name, why in sorted(silent.items())]
    if scene.busy:
        others.append(f"tasks are under way: {listed(scene.busy)}")
    firm = (f"VMs are being migrated: {listed(scene.moving)}",) if scene.moving else ()
    return Obstacles(firm, tuple(others))


def notes(backup: Content, made: Content, scene: Scene) -> Iterator[str]:
    """What a restore does otherwise than the backup says, and what it starts; a sentence each."""
    changed = {vm.uuid: vm for vm in made.vms}
    kept = [vm.name for vm in backup.vms if vm.uuid in scene.guests and changed[vm.uuid] != vm]
    if kept:
        yield f"These VMs run, and go on as they run, which is not what the backup says: {listed(kept)}."
    at_rest = [vm.name for vm in backup.vms if vm.uuid not in scene.guests and changed[vm.uuid] != vm]
    if at_rest:
        yield f"These VMs come from another cluster, where they may run on, and are not started: {listed(at_rest)}."
    begun = [vm.name for vm in made.vms if vm.uuid not in scene.guests and vm.desired is Desired.RUNNING]
    if begun:
        yield f"These VMs do not run and are started: {listed(begun)}."


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Iterable[str], most: int = 10) -> str:
    """In quotes; of many the first ones, and how many more."""
    every = list(names)
    shown = ", ".join(f'"{name}"' for name in every[:most])
    return f"{shown} and {len(every) - most} more" if len(every) > most else shown
