"""Networks that NICs join: bridged ones for now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache

from msgspec.structs import replace

from pvc.cluster import arrivals
from pvc.cluster.state import Held, State, Unreadable, View
from pvc.errors import AlreadyExists, Busy, Changed, Conflict, InUse, NotFound
from pvc.model import domain
from pvc.model.records import VM, Network, encode
from pvc.store.base import Create, Delete, Operation, Put


async def add(state: State, network: Network) -> None:
    """Raises AlreadyExists for a VNI or a description that is taken."""
    try:
        await state.store.commit(
            Create(state.paths.network(network.vni), encode(network)),
            Create(state.paths.network_name(network.description), str(network.vni).encode()),
        )
    except AlreadyExists as exc:
        taken = str(network.vni) if exc.fields["name"] == state.paths.network(network.vni) else network.description
        raise AlreadyExists(kind="network", name=taken) from exc


async def modify(state: State, vni: int, *, description: str | None, mtu: int | None) -> None:
    """None leaves a value as it is. Raises NotFound, AlreadyExists for a description that is taken, Changed."""
    held = await state.network(vni)
    old = held.record
    new = replace(old, description=description or old.description, mtu=old.mtu if mtu is None else mtu)
    operations: list[Operation] = [Put(state.paths.network(vni), encode(new), held.version)]
    try:
        if new.description != old.description:
            index = state.paths.network_name(old.description)
            operations.append(Delete(index, (await state.store.get(index)).version))
            operations.append(Create(state.paths.network_name(new.description), str(vni).encode()))
        await state.store.commit(*operations)
    except AlreadyExists as exc:
        raise AlreadyExists(kind="network", name=new.description) from exc
    except (Changed, NotFound) as exc:
        raise Changed(kind="network", name=str(vni)) from exc


async def remove(state: State, vni: int) -> None:
    """Raises NotFound, InUse while a VM has a NIC on it, Changed."""
    held = await state.network(vni)
    for vm in await state.readable_vms():
        if any(nic.source == held.record.bridge for nic in domain.describe(vm.record.xml).nics):
            raise InUse(kind="network", name=str(vni), user=f'VM "{vm.record.name}"')
    index = state.paths.network_name(held.record.description)
    try:
        await state.store.commit(
            Delete(state.paths.network(vni), held.version), Delete(index, (await state.store.get(index)).version)
        )
    except (Changed, NotFound) as exc:
        raise Changed(kind="network", name=str(vni)) from exc


async def find(state: View, text: str) -> Network:
    """By VNI, or else by description. Raises NotFound."""
    found = [held.record for held in await state.networks() if isinstance(held, Held)]
    by_vni = [network for network in found if text == str(network.vni)]
    for network in by_vni or [network for network in found if text == network.description]:
        return network
    raise NotFound(kind="network", name=text)


async def by_bridge(state: View) -> dict[str, Network]:
    found = [held.record for held in await state.networks() if not isinstance(held, Unreadable)]
    return {network.bridge: network for network in found}


async def macs(state: State, but: str = "") -> dict[str, str]:
    """Every MAC that a VM has or is about to get, and the VM's name. but: UUID of a VM that does not count."""
    found: dict[str, str] = {}
    for vm in [held.record for held in await state.readable_vms() if held.record.uuid != but]:
        arriving = [domain.nic(node) for node in await arrivals.arriving(state, vm) if node.tag == "interface"]
        found |= dict.fromkeys((*_macs(vm.xml), *(nic.mac for nic in arriving)), vm.name)
    return found


def of_vm(vm: VM) -> list[str]:
    """Every MAC that the VM has."""
    return list(_macs(vm.xml))


@lru_cache(maxsize=16384)
def _macs(xml: str) -> tuple[str, ...]:
    """Kept, because whoever adds a NIC asks for those of all VMs."""
    return tuple(nic.mac for nic in domain.describe(xml).nics)


@asynccontextmanager
async def claimed(state: State, vm: VM, added: Iterable[str]) -> AsyncIterator[None]:
    """Hold MACs that `vm` is about to get. Raises Busy, Conflict for one that a VM has."""
    async with AsyncExitStack() as holding:
        wanted = sorted(set(added))
        for mac in wanted:
            try:
                lock = state.store.lock(f"mac.{mac.replace(':', '')}", f'a change of VM "{vm.name}"')
                await holding.enter_async_context(lock)
            except Busy as exc:
                raise Busy(kind="MAC address", name=mac, holder=str(exc.fields["holder"])) from exc
        taken = await macs(state) if wanted else {}
        for mac in wanted:
            check_unused(mac, taken)
        yield


def check_unused(mac: str, taken: Mapping[str, str]) -> None:
    """Raises Conflict. taken: what `macs` found."""
    if mac in taken:
        raise Conflict(kind="MAC address", name=mac, problem=f'belongs to VM "{taken[mac]}"')
