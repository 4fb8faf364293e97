"""Defining, changing, renaming and forgetting VMs."""

from __future__ import annotations

import difflib
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from pvc.cluster import networks, power, volumes
from pvc.cluster.state import Held, State
from pvc.cluster.tasks import Report
from pvc.errors import (
    AlreadyExists,
    Busy,
    Changed,
    Conflict,
    InvalidInput,
    NodeUnavailable,
    NotFound,
    NotPermitted,
    PVCError,
)
from pvc.model import domain, names
from pvc.model.foreign import foreign_parts
from pvc.model.records import VM, Desired, Power, encode
from pvc.model.states import is_over
from pvc.storage.base import Pool
from pvc.store.base import Check, Create, Delete, Entry

HOW_INSTEAD = (
    'a disk is written as <disk type="volume"> with <source pool="POOL" volume="VOLUME"/>, a NIC as '
    '<interface type="bridge">, and more of the host only where hypervisor.allow_host_devices is configured'
)

# A VM that ignores the pulled plug this long is a broken hypervisor.
STOP_TIMEOUT_S = 60.0

# A QEMU that crashed has its volumes open for Ceph until `osd_client_watch_timeout` is over, 30 s by default.
LET_GO_S = 45.0


def new_macs(taken: Mapping[str, str]) -> Iterator[str]:
    """Endless unused MACs from QEMU's own range."""
    seen = set(taken)
    while True:
        mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
        if mac not in seen:
            seen.add(mac)
            yield mac


async def check_xml(state: State, xml: str, uuid: str, *, allow_host_devices: bool) -> str:
    """Return the XML to store, every NIC with a MAC. Raises what makes it unfit: host parts, a MAC or a disk twice."""
    foreign = foreign_parts(domain.parse(xml))
    if foreign and not allow_host_devices:
        raise NotPermitted(problem=f"The XML uses {', '.join(foreign)}: {HOW_INSTEAD}")
    taken = await networks.macs(state, but=uuid)
    described = domain.describe(xml)
    own = [nic.mac for nic in described.nics if nic.mac]
    for mac in own:
        if not names.MAC.fullmatch(mac):
            raise InvalidInput({"xml": f'has a MAC address "{mac}" that is not one'})
        networks.check_unused(mac, taken)
    disks = described.disks
    if not all(disk.dev for disk in disks):
        raise InvalidInput({"xml": "has a disk without a device name"})
    named = [disk.volume for disk in disks if disk.volume]
    for what, values in (("MAC address", own), ("device name", [disk.dev for disk in disks]), ("volume", named)):
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise InvalidInput({"xml": f'has the {what} "{twice}" twice'})
    if not allow_host_devices:
        await _check_bridges(state, described.nics)
    return domain.with_macs(xml, new_macs({**taken, **dict.fromkeys(own, "")}))


async def _check_bridges(state: State, nics: Iterable[domain.Nic]) -> None:
    known = await networks.by_bridge(state)
    for nic in nics:
        if nic.source not in known:
            problem = f'has a NIC on the bridge "{nic.source}", which no network has ("pvc network add" makes one)'
            raise InvalidInput({"xml": problem})


@asynccontextmanager
async def reserved(state: State, vm: VM, holder: str) -> AsyncIterator[None]:
    """Hold a VM that is made or removed. Raises Busy with the present holder."""
    async with volumes.held(state, f"vm.{vm.uuid}", "VM", vm.name, holder):
        yield


@asynccontextmanager
async def claimed(state: State, vm: VM) -> AsyncIterator[None]:
    """Hold what a new VM is to have. Raises AlreadyExists for a name that is taken; Busy, InUse, Conflict."""
    if await _name_taken(state, vm.name):
        raise AlreadyExists(kind="VM", name=vm.name)
    async with volumes.claimed(state, vm, volumes.of_vm(vm)), networks.claimed(state, vm, networks.of_vm(vm)):
        yield


async def define(state: State, pools: Mapping[str, Pool], vm: VM, *, dry_run: bool = False) -> None:
    """Raises AlreadyExists for a name or UUID that is taken, NotFound or InUse for a volume, NotFound for a node.

    dry_run: raise the same, and define nothing.
    """
    node = await state.node_entry(vm.node)
    async with claimed(state, vm):
        if dry_run and await _exists(state, state.paths.vm(vm.uuid)):
            raise AlreadyExists(kind="VM", name=vm.uuid)
        await volumes.check_present(pools, vm)
        if not dry_run:
            await write_new(state, vm, node)


async def write_new(state: State, vm: VM, node: Entry) -> None:
    """Write the record of a VM, whose volumes are there and which is claimed. node: as it was when it was chosen.

    Raises AlreadyExists, NodeUnavailable.
    """
    path = state.paths.node(vm.node)
    try:
        await state.store.commit(
            Check(path, node.version),
            Create(state.paths.vm(vm.uuid), encode(vm)),
            Create(state.paths.vm_name(vm.name), vm.uuid.encode()),
        )
    except AlreadyExists as exc:
        taken = vm.uuid if exc.fields["name"] == state.paths.vm(vm.uuid) else vm.name
        raise AlreadyExists(kind="VM", name=taken) from exc
    except (Changed, NotFound) as exc:
        raise NodeUnavailable(name=vm.node, reason="it was changed or removed meanwhile") from exc


def diff(old: str, new: str) -> str:
    """A unified diff of two stored documents, "" when they are equal."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "current", "new", lineterm="")
    return "\n".join(lines)


def check_free(vm: VM) -> None:
    """Raises Busy while a task holds the VM."""
    if vm.task:
        raise Busy(kind="VM", name=vm.name, holder=f'task "{vm.task}"')


async def modify(state: State, pools: Mapping[str, Pool], held: Held[VM], xml: str, *, restart: bool) -> VM:
    """Replace the XML; a running guest has it from its next start on. Raises Changed, Busy."""
    check_free(held.record)
    new = replace(held.record, xml=xml)
    if restart:
        new = await power.restarted(state, new)
    await rewrite(state, pools, held, new)
    return new


async def rewrite(state: State, pools: Mapping[str, Pool], held: Held[VM], new: VM) -> None:
    """Replace the record. Raises Changed, Busy, and what keeps the VM from a volume or MAC that is new to it."""
    check_free(held.record)
    added = set(volumes.of_vm(new)) - set(volumes.of_vm(held.record))
    joined = set(networks.of_vm(new)) - set(networks.of_vm(held.record))
    async with volumes.claimed(state, new, added), networks.claimed(state, new, joined):
        await volumes.check_present(pools, new)
        await state.write_vm(held, new)


async def rename(state: State, pools: Mapping[str, Pool], name: str, new_name: str) -> dict[str, str]:
    """Rename a VM that is off, and those of its volumes that bear its name: returns which became which.

    Raises Conflict, AlreadyExists.
    """
    held = await state.find_vm(name)
    old = held.record
    check_free(old)
    await _check_off(state, old)
    if await _name_taken(state, new_name):
        raise AlreadyExists(kind="VM", name=new_name)
    moves = _volume_names(old, new_name)
    async with AsyncExitStack() as undo:
        for before, after in moves.items():
            pool_name, volume = names.split_volume(before)
            pool, renamed = await volumes.pool_of(pools, pool_name), after.partition("/")[2]
            await pool.rename(volume, renamed)
            undo.push_async_callback(pool.rename, renamed, volume)
        await _commit_rename(state, held, replace(old, name=new_name, xml=domain.renamed(old.xml, new_name, moves)))
        undo.pop_all()
    return moves


async def _name_taken(state: State, name: str) -> bool:
    return await _exists(state, state.paths.vm_name(name))


async def _exists(state: State, path: str) -> bool:
    [entry] = await state.store.get_many([path])
    return entry is not None


async def _commit_rename(state: State, held: Held[VM], new: VM) -> None:
    old_index = state.paths.vm_name(held.record.name)
    index = await state.store.get(old_index)
    try:
        await state.store.commit(
            state.put_vm(held, new),
            Create(state.paths.vm_name(new.name), new.uuid.encode()),
            Delete(old_index, index.version),
        )
    except AlreadyExists as exc:
        raise AlreadyExists(kind="VM", name=new.name) from exc
    except Changed as exc:
        raise Changed(kind="VM", name=held.record.name) from exc


def _volume_names(vm: VM, new_name: str) -> dict[str, str]:
    """Which POOL/VOLUME of the VM gets which new one: those called after the VM, as "web1" or "web1_data"."""
    found = {}
    for disk in domain.describe(vm.xml).disks:
        pool, _, volume = disk.volume.partition("/")
        if volume == vm.name or volume.startswith((f"{vm.name}_", f"{vm.name}-")):
            found[disk.volume] = f"{pool}/{new_name}{volume[len(vm.name) :]}"
    return found


async def _check_off(state: State, vm: VM) -> None:
    observed = await state.observed(vm)
    wanted = vm.desired is Desired.RUNNING and not is_over(vm, observed)
    if wanted or observed.power in power.ALIVE:
        raise Conflict(kind="VM", name=vm.name, problem="is not stopped")


@dataclass(frozen=True, slots=True)
class Removal:
    """stops: whether the VM runs, so far as is known. volumes: what goes with it."""

    vm: VM
    stops: bool
    volumes: list[str]


async def plan_removal(state: State, name: str, pools: Mapping[str, Pool] | None = None, here: str = "") -> Removal:
    """What `undefine` would do. Raises what keeps the VM from it. here: as in `volumes.removable`."""
    vm = (await state.find_vm(name)).record
    check_free(vm)
    doomed = await volumes.removable(state, pools, vm, here) if pools is not None else []
    stops = vm.desired is Desired.RUNNING or (await state.observed(vm)).power is not Power.OFF
    if stops and not await state.node_alive(vm.node):
        raise Conflict(kind="VM", name=vm.name, problem=f'may run on node "{vm.node}", which does not answer')
    return Removal(vm, stops, doomed)


@asynccontextmanager
async def reserved_removable(
    state: State, name: str, holder: str, pools: Mapping[str, Pool] | None = None, here: str = ""
) -> AsyncIterator[Removal]:
    """Hold a VM that can be removed, with its volumes when `pools` is given. Raises what `plan_removal` does, Busy."""
    vm = (await state.find_vm(name)).record
    async with reserved(state, vm, holder):
        yield await plan_removal(state, name, pools, here)


async def undefine(state: State, pools: Mapping[str, Pool], removal: Removal, report: Report) -> None:
    """Stop and forget a VM, and remove the volumes that go with it. The caller holds it.

    Raises InUse, with the VM stopped, when somebody keeps a volume open; one that the pool then fails to remove is
    named.
    """
    if removal.stops:
        report("stopping", 0, 0)
        await power.wait(state, await power.ask(state, removal.vm.name, "stop"), STOP_TIMEOUT_S)
    report("removing", 0, 0)
    await volumes.closed(pools, removal.volumes, LET_GO_S)
    held = await state.vm(removal.vm.uuid)
    check_free(held.record)
    index = await state.store.get(state.paths.vm_name(held.record.name))
    try:
        await state.store.commit(
            Delete(state.paths.vm(held.record.uuid), held.version),
            Delete(state.paths.vm_name(held.record.name), index.version),
        )
    except Changed as exc:
        raise Changed(kind="VM", name=held.record.name) from exc
    await _remove_volumes(state, pools, removal, report)


async def _remove_volumes(state: State, pools: Mapping[str, Pool], removal: Removal, report: Report) -> None:
    vm_name, problems = removal.vm.name, []
    for number, volume in enumerate(removal.volumes, 1):
        report(phase := f"removing volume {number} of {len(removal.volumes)}", 0, 0)
        pool, name = names.split_volume(volume)
        try:
            async with volumes.reserved(state, pool, name, f'the removal of VM "{vm_name}"'):
                await pools[pool].remove(name, partial(report, phase))
        except PVCError as exc:
            problems.append(f'volume "{volume}" stays: {exc}')
    if problems:
        raise Conflict(kind="VM", name=vm_name, problem=f"is removed, but {'; '.join(problems)}".removesuffix("."))
