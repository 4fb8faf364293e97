"""A migration as source and target act it out: who does what next, decided from the task and what each sees.

What always holds: the VM is the source's until one transaction makes it the target's, which somebody writes only after
the guest was seen to run there, or was seen off at the source before any copy began. A phase names whose turn it is,
so each has one writer. After the first copy has begun the source never takes "the guest is not here" for "it is off":
only the target can say that the guest is not there either (RETURNED).

    phase       written by   next is
    PREPARE     server       target   see to what the guest needs there
    READY       target       source   nothing has begun
    COPY        source       source   libvirt may be at it; target: whoever sees the guest run there takes it over
    LOST        source       target   the source has no guest, and does not know why
    DOUBT       source       target   the source has it paused, and does not know why
    RETURNED    target       source   the target has nothing of it
    SHUTDOWN    source       source   the guest is asked to shut down, to be started on the target
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from pvc.errors import Conflict
from pvc.model.records import VM, Desired, MigrationMethod, Moving, Power, Task, TaskStatus

MIGRATE = "migrate"


class Phase(StrEnum):
    PREPARE = "prepare"
    READY = "ready"
    COPY = "copy"
    LOST = "lost"
    DOUBT = "doubt"
    RETURNED = "returned"
    SHUTDOWN = "shutdown"


class Leave(StrEnum):
    """What the source does next."""

    WAIT = "wait"
    COPY = "copy"  # write that it begins, and begin
    WATCH = "watch"  # a copy is under way: tell how far it is
    ABORT = "abort"
    ASK_TARGET = "ask target"
    RESUME = "resume"  # let the paused guest go on, then decide again
    SHUTDOWN = "shutdown"  # write that it begins
    END_GUEST = "end guest"  # ask the guest, or pull its plug when its time is up
    HAND_OVER = "hand over"
    GIVE_UP = "give up"  # the VM stays
    DONE = "done"  # the task has ended


class Receive(StrEnum):
    """What the target does next."""

    WAIT = "wait"
    PREPARE = "prepare"
    TAKE_OVER = "take over"
    RESUME_AND_TAKE_OVER = "resume and take over"
    CLEAR = "clear"  # remove a half-arrived guest, then decide again
    SAY_ABSENT = "say absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The guest on one node. job: libvirt is at moving it now."""

    power: Power
    job: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What this source agent knows of the copy that it began itself; a fresh agent knows nothing.

    under_way: its call has not returned. arrived: libvirt said that the guest runs on the target. problem: why not, or,
    of a call under way, why it is to end.
    """

    under_way: bool = False
    arrived: bool = False
    problem: str = ""


def may_live(task: Task) -> bool:
    return task.args["method"] != MigrationMethod.SHUTDOWN


def may_shut_down(task: Task) -> bool:
    return task.args["method"] != MigrationMethod.LIVE


def method_of(vm: VM, *, force_live: bool) -> MigrationMethod:
    """Raises Conflict when live is forced on a VM whose method is shutdown."""
    if not force_live:
        return vm.migration_method
    if vm.migration_method is MigrationMethod.SHUTDOWN:
        problem = 'has the migration method "shutdown", which forcing a live migration contradicts'
        raise Conflict(kind="VM", name=vm.name, problem=problem)
    return MigrationMethod.LIVE


def is_called_off(vm: VM, task: Task) -> bool:
    """Somebody cancelled it, or wants the VM off, which is quicker had here."""
    return task.cancel or vm.desired is not Desired.RUNNING


def leaving(vm: VM, task: Task, here: Here, attempt: Attempt, *, target_alive: bool, over: bool = False) -> Leave:
    """The source's next act. Total: every combination has an answer. over: the guest ended, and nobody restarts it."""
    if vm.task != task.id or task.status is not TaskStatus.RUNNING:
        return Leave.DONE
    off = here.power is Power.OFF
    match task.phase:
        case Phase.READY | Phase.SHUTDOWN if here.power is Power.UNKNOWN:
            return Leave.WAIT
        case Phase.PREPARE | Phase.READY if is_called_off(vm, task) or not target_alive:
            return Leave.GIVE_UP
        case Phase.READY if off:
            return Leave.GIVE_UP if over else Leave.HAND_OVER
        case Phase.READY:
            return Leave.COPY if may_live(task) else Leave.SHUTDOWN
        case Phase.COPY:
            return _copying(vm, task, here, attempt)
        case Phase.RETURNED if here.power is Power.PAUSED:
            return Leave.RESUME
        case Phase.RETURNED:
            return Leave.GIVE_UP
        case Phase.SHUTDOWN if vm.desired is not Desired.RUNNING:
            return Leave.GIVE_UP
        case Phase.SHUTDOWN if off:
            return Leave.HAND_OVER if target_alive else Leave.GIVE_UP
        case Phase.SHUTDOWN:
            return Leave.END_GUEST
        case _:
            return Leave.WAIT


def _copying(vm: VM, task: Task, here: Here, attempt: Attempt) -> Leave:
    if attempt.arrived:
        return Leave.HAND_OVER
    if attempt.under_way or here.job:
        return Leave.ABORT if is_called_off(vm, task) or attempt.problem else Leave.WATCH
    if here.power in (Power.OFF, Power.PAUSED):
        return Leave.ASK_TARGET
    if here.power is Power.UNKNOWN:
        return Leave.WAIT
    if is_called_off(vm, task) or here.power is Power.CRASHED:
        return Leave.GIVE_UP
    if not attempt.problem:
        return Leave.COPY
    return Leave.SHUTDOWN if may_shut_down(task) else Leave.GIVE_UP


def receiving(vm: VM, task: Task, here: Here) -> Receive:
    """The target's next act. Total."""
    if vm.task != task.id or task.status is not TaskStatus.RUNNING:
        return Receive.WAIT
    settled = here.power is not Power.UNKNOWN and not here.job
    match task.phase:
        case Phase.PREPARE:
            return Receive.PREPARE
        case Phase.COPY | Phase.LOST | Phase.DOUBT if here.power is Power.RUNNING and settled:
            return Receive.TAKE_OVER
        case Phase.LOST if here.power is Power.PAUSED and settled:
            return Receive.RESUME_AND_TAKE_OVER
        case Phase.LOST | Phase.DOUBT if here.power is Power.OFF:
            return Receive.SAY_ABSENT
        case Phase.LOST | Phase.DOUBT if settled:
            return Receive.CLEAR
        case _:
            return Receive.WAIT


def under_way(vm: VM, task: str, target: str, *, action: str, forced_live: bool, flush: bool = False) -> VM:
    """The record with the migration that `task` is. action: migrate keeps where it came from, others forget it.

    flush: a node is emptied, or gets back what left it then; to have come from elsewhere before stays remembered.
    """
    leaving = action == "migrate"
    last_node = (vm.last_node or vm.node) if leaving else vm.last_node if flush else ""
    flushed_from = (vm.flushed_from or vm.node) if leaving and flush else ""
    moving = Moving(target=target, last_node=last_node, flushed_from=flushed_from, forced_live=forced_live)
    if last_node == target:  # it is home
        moving = replace(moving, last_node="", flushed_from="")
    return replace(vm, task=task, moving=moving)


def arrived(vm: VM, *, anew: bool) -> VM:
    """The record as the target's. anew: the guest is to be started there."""
    if vm.moving is None:
        return vm
    to, run = vm.moving, vm.run + 1 if anew else vm.run
    return replace(
        vm, node=to.target, last_node=to.last_node, flushed_from=to.flushed_from, task="", moving=None, run=run
    )


def stayed(vm: VM, *, anew: bool) -> VM:
    """The record as the source's again. anew: its guest was shut down for the migration, and is to be started."""
    return replace(vm, task="", moving=None, run=vm.run + 1 if anew else vm.run)
