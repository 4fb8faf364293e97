"""Networks that NICs join: bridged ones for now."""

from __future__ import annotations

from pvc.cluster.state import Held, State, Unreadable
from pvc.errors import AlreadyExists, InUse, NotFound
from pvc.model import domain
from pvc.model.records import VM, Network, encode
from pvc.store.base import Create, Delete


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


async def remove(state: State, vni: int) -> None:
    """Raises NotFound, InUse while a VM has a NIC on it."""
    held = await state.network(vni)
    for vm in await state.readable_vms():
        if any(nic.source == held.record.bridge for nic in domain.describe(vm.record.xml).nics):
            raise InUse(kind="network", name=str(vni), user=f'VM "{vm.record.name}"')
    index = await state.store.get(state.paths.network_name(held.record.description))
    await state.store.commit(
        Delete(state.paths.network(vni), held.version),
        Delete(state.paths.network_name(held.record.description), index.version),
    )


async def find(state: State, text: str) -> Network:
    """By VNI, or else by description. Raises NotFound."""
    found = [held.record for held in await state.networks() if isinstance(held, Held)]
    by_vni = [network for network in found if text == str(network.vni)]
    for network in by_vni or [network for network in found if text == network.description]:
        return network
    raise NotFound(kind="network", name=text)


async def by_bridge(state: State) -> dict[str, Network]:
    found = [held.record for held in await state.networks() if not isinstance(held, Unreadable)]
    return {network.bridge: network for network in found}


def macs_of(vms: list[VM]) -> dict[str, str]:
    """Every MAC in use and the name of the VM that has it."""
    return {nic.mac: vm.name for vm in vms for nic in domain.describe(vm.xml).nics}
