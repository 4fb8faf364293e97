"""What an agent does to one VM. Each step is idempotent and may be cut off at any line: a fresh agent goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from pvc.agent import bridges
from pvc.agent.settings import Settings
from pvc.cluster import devices, growth, tasks, volumes
from pvc.cluster.state import Held, State
from pvc.errors import AlreadyExists, Changed, Conflict, HypervisorRefused, NotFound, PVCError, Unavailable
from pvc.hypervisor import domxml
from pvc.hypervisor.base import Hypervisor
from pvc.model import domain, names
from pvc.model.records import VM, Power, Task
from pvc.storage.base import Pool, Source
from pvc.units import format_size


@dataclass(frozen=True, slots=True)
class Hands:
    """Everything a step works with."""

    state: State
    hypervisor: Hypervisor
    pools: Mapping[str, Pool]
    settings: Settings
    domain_type: str
    qemu_user: tuple[int, int] | None = None

    def console_log(self, uuid: str) -> Path:
        return Path(self.settings.console_path) / f"{uuid}.log"

    def source(self, volume: str) -> Source:
        """Of a volume whose pool was found before."""
        pool, name = names.split_volume(volume)
        return self.pools[pool].source(name)

    async def give_secrets(self, opened: Iterable[str]) -> None:
        """Before the hypervisor opens these volumes: it may have lost its secrets, or the key may be a new one."""
        for pool in {names.split_volume(volume)[0] for volume in opened}:
            if secret := await (await volumes.pool_of(self.pools, pool)).secret():
                await self.hypervisor.keep_secret(secret)


async def start(hands: Hands, held: Held[VM]) -> bool:
    """Create the domain, unless the record changed since it was read (False). Raises why it cannot be."""
    fresh = await hands.state.vm(held.record.uuid)
    if fresh.version != held.version:
        return False
    vm = fresh.record
    described = domain.describe(vm.xml)
    await bridges.check(hands.settings, described.nics)
    log = hands.console_log(vm.uuid)
    await asyncio.to_thread(log.parent.mkdir, mode=0o711, parents=True, exist_ok=True)
    async with AsyncExitStack() as holding:
        for disk in described.disks:
            if disk.volume:
                pool, name = names.split_volume(disk.volume)
                await (await volumes.pool_of(hands.pools, pool)).volume(name)
                await holding.enter_async_context(
                    volumes.reserved(hands.state, pool, name, f'the start of VM "{vm.name}"')
                )
        await hands.give_secrets(volumes.of_vm(vm))
        xml = domxml.finished(
            vm.xml,
            run=vm.run,
            domain_type=hands.domain_type,
            volume=hands.source,
            console_log=str(log),
            hotplug_slots=hands.settings.hotplug_slots,
        )
        try:
            await hands.hypervisor.start(xml)
        except AlreadyExists:
            return False  # an earlier try got this far
        return True


async def shutdown(hands: Hands, uuid: str) -> None:
    await _unless_gone(hands.hypervisor.shutdown(uuid))


async def stop(hands: Hands, uuid: str) -> None:
    await _unless_gone(hands.hypervisor.stop(uuid))


async def _unless_gone(act: Awaitable[None]) -> None:
    try:
        await act
    except NotFound:
        return


async def run_task(hands: Hands, held: Held[VM], power: Power) -> None:
    """Do what the task that holds the VM asks, and write its end together with the VM's new configuration."""
    vm = held.record
    try:
        task = (await hands.state.task(vm.task)).record
    except NotFound:
        await _write_end(hands.state, vm, None, vm.xml)
        return
    try:
        xml, result = await _act(hands, vm, task, power)
    except Unavailable:
        raise
    except PVCError as exc:
        await _write_end(hands.state, vm, tasks.failed(task, exc), vm.xml)
        return
    await _write_end(hands.state, vm, tasks.done(task, result), xml)


async def _act(hands: Hands, vm: VM, task: Task, power: Power) -> tuple[str, str]:
    """Returns the configuration that goes with what was done, and the task's result."""
    match task.kind:
        case devices.ATTACH | devices.DETACH:
            device = task.args["device"]
            if power is not Power.OFF:
                await _plug(hands, vm.uuid, task.kind, device)
            what = "Attached device to" if task.kind == devices.ATTACH else "Detached device from"
            return devices.edited(vm.xml, task.kind, device), f'{what} VM "{vm.name}".'
        case growth.GROW:
            size = await _grow(hands, vm, task.args["volume"], int(task.args["size"]), power)
            return vm.xml, f'Resized volume "{task.args["volume"]}" to size "{format_size(size)}".'
        case _:
            raise HypervisorRefused(reason=f'this agent does not know tasks of kind "{task.kind}"')


async def _plug(hands: Hands, uuid: str, action: str, device: str) -> None:
    """Make the running guest have, or not have, the device; nothing when that is so already."""
    for volume in _volumes_of(device):
        await volumes.pool_of(hands.pools, names.split_volume(volume)[0])
    wanted = domxml.finished_device(device, hands.source)
    try:
        live = domxml.live_device(await hands.hypervisor.xml(uuid), device)
        same = live is not None and domain.same_source(live, wanted)
        if action == devices.ATTACH and live is None:
            await bridges.check(hands.settings, _nics_of(device))
            await hands.give_secrets(_volumes_of(device))
            await hands.hypervisor.attach(uuid, wanted)
        elif action == devices.ATTACH and not same:
            raise HypervisorRefused(reason="the running guest has another device in that place until it is restarted")
        elif action == devices.DETACH and live is not None and same:
            await hands.hypervisor.detach(uuid, live, hands.settings.detach_timeout_s)
    except NotFound as exc:
        if exc.fields.get("kind") != "VM":
            raise
        # It ended meanwhile: the configuration alone decides what its next run has.


async def _grow(hands: Hands, vm: VM, volume: str, size: int, power: Power) -> int:
    """Make the volume larger, in the running guest too; returns the size that it has then.

    A guest that has it open is the only one who may: QEMU then resizes the volume and tells the guest, in one act.
    """
    pool_name, name = names.split_volume(volume)
    pool = await volumes.pool_of(hands.pools, pool_name)
    if size < (await pool.volume(name)).size:
        raise Conflict(kind="volume", name=volume, problem="is larger already, and shrinks only while its VM is off")
    if power is Power.OFF or not await _grow_live(hands, vm.uuid, volume, size):
        return (await pool.resize(name, size)).size
    grown = (await pool.volume(name)).size
    if grown < size:
        raise HypervisorRefused(reason=f'the volume "{volume}" has {grown} bytes after it was resized to {size}')
    return grown


async def _grow_live(hands: Hands, uuid: str, volume: str, size: int) -> bool:
    """False when no running guest has the volume."""
    try:
        dev = domxml.dev_of(await hands.hypervisor.xml(uuid), hands.source(volume))
        if dev is not None:
            await hands.hypervisor.resize_disk(uuid, dev, size)
    except NotFound as exc:
        if exc.fields.get("kind") != "VM":
            raise
        return False
    return dev is not None


def _volumes_of(device: str) -> list[str]:
    node = domain.parse_device(device)
    volume = domain.volume_of(node) if node.tag == "disk" else ""
    return [volume] if volume else []


def _nics_of(device: str) -> list[domain.Nic]:
    node = domain.parse_device(device)
    return [domain.nic(node)] if node.tag == "interface" else []


async def _write_end(state: State, vm: VM, task: Task | None, xml: str) -> None:
    """Free the VM, with its configuration and the task's end in one transaction.

    While the task holds the VM nobody else changes its devices, so another writer (a stop, a tag) is read again.
    """
    while True:
        try:
            held = await state.vm(vm.uuid)
        except NotFound as exc:
            await _end_alone(state, task, exc)
            return
        if held.record.task != vm.task:
            return
        writes = [state.put_vm(held, replace(held.record, task="", xml=xml))]
        if task is not None:
            writes.append(tasks.writing(state, await state.task(task.id), task))
        try:
            await state.store.commit(*writes)
        except Changed:
            continue
        return


async def _end_alone(state: State, task: Task | None, reason: NotFound) -> None:
    """The VM is gone, and with it what the task was for."""
    if task is not None:
        await state.store.commit(tasks.writing(state, await state.task(task.id), tasks.failed(task, reason)))


def refusal(exc: PVCError) -> str:
    """What is shown as the reason of state "fail"."""
    return str(exc.fields["reason"]) if isinstance(exc, HypervisorRefused) else str(exc)
