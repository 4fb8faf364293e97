"""A VM's CPUs and memory: its configuration, for its next start on or at once by a restart."""

from __future__ import annotations

from msgspec.structs import replace

from pvc.cluster import power
from pvc.cluster.state import Held, State
from pvc.cluster.vms import check_free
from pvc.errors import NoRoom
from pvc.model import sizing
from pvc.model.records import VM
from pvc.units import MIB, format_size


async def set_vcpu(state: State, held: Held[VM], count: int, topology: tuple[int, ...] | None, *, restart: bool) -> VM:
    """Raises NoRoom when the VM's node has fewer CPUs, Busy, Changed, Conflict."""
    node = held.record.node
    total = (await state.node_status(node)).cpu_count
    if total and count > total:
        raise NoRoom(kind="node", name=node, problem=f"has {total} CPUs, which is less than {count}")
    return await _write(state, held, sizing.with_vcpu(held.record.xml, count, topology), restart=restart)


async def set_memory(state: State, held: Held[VM], mebibytes: int, *, restart: bool) -> VM:
    """Raises NoRoom when the VM's node has less memory, Busy, Changed, Conflict."""
    node = held.record.node
    total = (await state.node_status(node)).memory_total
    if total and mebibytes * MIB > total:
        problem = f"has {format_size(total)} of memory, which is less than {format_size(mebibytes * MIB)}"
        raise NoRoom(kind="node", name=node, problem=problem)
    return await _write(state, held, sizing.with_memory(held.record.xml, mebibytes), restart=restart)


async def _write(state: State, held: Held[VM], xml: str, *, restart: bool) -> VM:
    check_free(held.record)
    new = replace(held.record, xml=xml)
    new = await power.restarted(state, new) if restart else new
    await state.write_vm(held, new)
    return new
