"""The list of VMs as JSON: each VM is encoded once for what it is, and joined to the others as the list is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from pvc.cluster import networks
from pvc.cluster.state import Held, MirrorView, Unreadable
from pvc.model.records import VM, Network, NodeStatus
from pvc.server.vmview import unreadable_object, vm_object

# VMs encoded before other requests have their turn; one takes some 0.2 ms.
_TURN = 50
# VMs that are sent at once, some kilobytes each.
_PIECE = 50

Item = Held[VM] | Unreadable


@dataclass(frozen=True, slots=True)
class Shown:
    """One VM in the list: what filters look at, and its object as JSON."""

    name: str
    uuid: str
    node: str
    state: str
    tags: frozenset[str]
    text: bytes


@dataclass(frozen=True, slots=True)
class _Source:
    """What one VM's object is made of. said: by its node, of this VM alone; doubt: whether it is still so."""

    item: Item
    said: NodeStatus
    doubt: str


class VMList:
    """Of one view, by name. Who asks while another encodes waits for that, and has it too."""

    def __init__(self, view: MirrorView) -> None:
        self._view = view
        self._turn = asyncio.Lock()
        self._rounds = -1
        self._bridges: Mapping[str, Network] = {}
        self._made: dict[str, tuple[_Source, Shown]] = {}
        self._shown: list[Shown] = []

    async def shown(self) -> list[Shown]:
        """All; not to be changed."""
        async with self._turn:
            if self._rounds != self._view.reader.rounds:
                await self._renew()
            return self._shown

    async def _renew(self) -> None:
        """The sources are one state of the mirror: nothing is awaited that waits until all are there."""
        rounds, bridges = self._view.reader.rounds, await networks.by_bridge(self._view)
        sources = await self._sources()
        known = self._made if bridges == self._bridges else {}
        self._made, self._bridges = await _made(sources, known, bridges), bridges
        self._shown = sorted((shown for _source, shown in self._made.values()), key=lambda shown: shown.name)
        self._rounds = rounds

    async def _sources(self) -> dict[str, _Source]:
        statuses: dict[str, tuple[NodeStatus, str]] = {}
        found = {}
        for item in await self._view.vms():
            if isinstance(item, Unreadable):
                found[item.key] = _Source(item, NodeStatus(), "")
                continue
            vm = item.record
            if vm.node not in statuses:
                statuses[vm.node] = await self._view.node_status(vm.node), await self._view.node_doubt(vm.node)
            status, doubt = statuses[vm.node]
            found[vm.uuid] = _Source(item, _of(status, vm.uuid), doubt)
        return found


def _of(status: NodeStatus, uuid: str) -> NodeStatus:
    vms = {uuid: status.vms[uuid]} if uuid in status.vms else {}
    use = {uuid: status.use[uuid]} if uuid in status.use else {}
    return NodeStatus(vms=vms, use=use)


async def _made(
    sources: Mapping[str, _Source], known: Mapping[str, tuple[_Source, Shown]], bridges: Mapping[str, Network]
) -> dict[str, tuple[_Source, Shown]]:
    made, encoded = {}, 0
    for uuid, source in sources.items():
        kept = known.get(uuid)
        if kept is None or kept[0].item is not source.item or kept[0] != source:
            kept = source, _show(source, bridges)
            encoded += 1
            if encoded % _TURN == 0:
                await asyncio.sleep(0)
        made[uuid] = kept
    return made


def _show(source: _Source, bridges: Mapping[str, Network]) -> Shown:
    item = source.item
    if isinstance(item, Unreadable):
        return _shown(unreadable_object(item))
    return _shown(vm_object(item.record, source.said, bridges, source.doubt))


def _shown(made: Mapping[str, Any]) -> Shown:
    return Shown(
        name=made["name"],
        uuid=made["uuid"],
        node=made["node"],
        state=made["state"],
        tags=frozenset(tag["name"] for tag in made["tags"]),
        text=msgspec.json.encode(made),
    )


def array(shown: Sequence[Shown]) -> web.Response:
    """A JSON array, joined piece by piece at the client's pace: a slow one costs no copy of the list."""
    size = sum(len(one.text) + 1 for one in shown) + 1 if shown else 2
    head = {"Content-Length": str(size), "Content-Type": "application/json; charset=utf-8"}
    return web.Response(body=_pieces(shown), headers=head)


async def _pieces(shown: Sequence[Shown]) -> AsyncIterator[bytes]:
    yield b"["
    for start in range(0, len(shown), _PIECE):
        texts = b",".join(one.text for one in shown[start : start + _PIECE])
        yield b"," + texts if start else texts
    yield b"]"
