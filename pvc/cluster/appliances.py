"""VMs made of OVAs: a copy of each disk, and the OVA stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from pvc.cluster import ovas, vms, volumes
from pvc.cluster.state import State
from pvc.errors import StoreUnavailable
from pvc.model import appliance, names
from pvc.model.records import OVA, VM
from pvc.storage.base import Pool


async def define(state: State, pools: Mapping[str, Pool], ova: OVA, vm: VM) -> None:
    """Define `vm`, which has a volume for each of the OVA's, called as model.appliance says.

    Raises what vms.define and Pool.clone raise, NotFound when the OVA goes meanwhile; nothing stays behind then.
    """
    async with AsyncExitStack() as undo:
        for disk in ova.disks:
            pool_name, source = names.split_volume(disk.volume)
            pool = await volumes.pool_of(pools, pool_name)
            copy = appliance.volume_of_vm(disk.volume, vm.name, disk.dev)
            async with volumes.reserved(state, pool_name, source, f'a copy for VM "{vm.name}"'):
                await ovas.find(state, ova.name)
                await volumes.check_no_ova(state, copy)
                await pool.clone(source, names.split_volume(copy)[1])
            undo.push_async_callback(pool.remove, names.split_volume(copy)[1])
        try:
            await vms.define(state, pools, vm)
        except StoreUnavailable:
            undo.pop_all()  # it may have been written: a VM without its disks would be worse than disks without a VM
            raise
        undo.pop_all()
