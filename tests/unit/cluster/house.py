"""Cluster state as two servers reach it, one pool, and a node that a test speaks for."""

from __future__ import annotations

from collections.abc import Sequence

from pvc.cluster import nodes, vms
from pvc.cluster.state import State
from pvc.model import domain
from pvc.model.records import VM, Node, NodeStatus, Observed, encode
from pvc.storage.directory import DirectoryPool
from pvc.store.base import Create
from pvc.units import MIB
from tests.parts import documents

NODE = "hv1"


class House:
    """state, other: a session each."""

    def __init__(self, state: State, other: State, pool: DirectoryPool) -> None:
        self.state, self.other, self.pool = state, other, pool
        self.pools = {pool.name: pool}

    async def record_node(self) -> None:
        """It is known, and away."""
        await self.state.store.commit(Create(self.state.paths.node(NODE), encode(Node(name=NODE))))

    async def join(self) -> None:
        await nodes.join(self.other, Node(name=NODE))

    async def publish(self, **seen: Observed) -> None:
        """What the node sees, by UUID."""
        await nodes.publish(self.other, NODE, NodeStatus(vms=seen))

    async def volumes(self, *names: str) -> None:
        for name in names:
            await self.pool.create(name, MIB)

    def vm(self, name: str = "web1", devices: Sequence[str] = (), *, uuid: str = "") -> VM:
        xml = domain.normalise(documents.vm(name, devices=devices, uuid=uuid), new_uuid=self.state.new_uuid())
        return VM(uuid=domain.describe(xml).uuid, name=name, xml=xml, node=NODE)

    async def define(self, name: str = "web1", devices: Sequence[str] = (), *, uuid: str = "") -> VM:
        vm = self.vm(name, devices, uuid=uuid)
        await vms.define(self.state, self.pools, vm)
        return vm

    async def everything(self) -> dict[str, tuple[bytes, int]]:
        """Every record of the state with its version, and every volume: what a refused change leaves as it was."""
        found: dict[str, tuple[bytes, int]] = {}
        for folder in self.state.paths.folders:
            for key in await self.state.store.children(folder):
                entry = await self.state.store.get(f"{folder}/{key}")
                found[f"{folder}/{key}"] = entry.value, entry.version
        for volume in await self.pool.volumes():
            found[f"volume {volume.name}"] = b"", volume.size
        return found
