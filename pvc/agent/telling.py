"""What this node tells of itself in the cluster: written where it differs from what was told last."""

from __future__ import annotations

from collections.abc import Callable

from pvc.agent.bells import Listener, Subscribe
from pvc.agent.gather import fitted
from pvc.cluster import nodes
from pvc.cluster.state import State
from pvc.model.records import NodeStatus
from pvc.store.base import MAX_VALUE


class Telling:
    """On one session of the store after another."""

    _state: State

    def __init__(self, node: str) -> None:
        self._node = node
        self._told: NodeStatus | None = None
        self._listeners: dict[str, Listener] = {}

    def begin(self, state: State) -> None:
        self._state, self._told = state, None

    async def last(self) -> NodeStatus:
        return self._told or await self._state.node_status(self._node)

    async def tell(self, status: NodeStatus) -> None:
        status = fitted(status, MAX_VALUE)
        if status == self._told:
            return
        before, self._told = self._told, None  # a write that is cut off may have come true
        await nodes.publish(self._state, self._node, status)
        self._told = status
        for uuid, listener in self._listeners.items():
            if before is None or before.vms.get(uuid) != status.vms.get(uuid):
                listener()

    def of_vm(self, uuid: str) -> Subscribe:
        """For one listener at a time: when something else was told of the VM than before."""

        def subscribe(listener: Listener) -> Callable[[], None]:
            self._listeners[uuid] = listener

            def unsubscribe() -> None:
                del self._listeners[uuid]

            return unsubscribe

        return subscribe
