"""/provisioner/ova: OVAs, and the VMs that are made of them."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from msgspec.structs import replace

from pvc.cluster import appliances, leftovers, networks, ovas, placing, vms
from pvc.cluster.state import Held, State, Unreadable
from pvc.cluster.tasks import Running
from pvc.errors import InvalidInput, NotFound
from pvc.model import appliance, domain, names
from pvc.model.records import OVA, VM, OVADisk, Selector
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.meta import node_limit
from pvc.server.parse import Nothing, need_name
from pvc.server.parts import CONFIG, POOLS
from pvc.server.rules import VMName
from pvc.server.session import state_of
from pvc.server.working import Done, Waited, answer, new_task
from pvc.units import GIB

endpoints = Endpoints()


class ListQuery(msgspec.Struct):
    limit: Limit | None = None


class Define(Waited, kw_only=True):
    """network: "NAME=NETWORK" for each network that the OVA's NICs join, by description or VNI."""

    name: VMName
    network: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    node: str | None = None
    selector: Selector = Selector.NONE


@endpoints.get("/provisioner/ova", "OVAs.", ListQuery, answer=Answer.LIST)
async def list_ovas(request: web.Request, query: ListQuery) -> web.Response:
    fits = matcher(query.limit)
    shown = [
        _unreadable(item) if isinstance(item, Unreadable) else _object(item.record)
        for item in await state_of(request).ovas()
        if isinstance(item, Unreadable) or item.record.whole
    ]
    return web.json_response([item for item in shown if fits(item["name"])])


@endpoints.get("/provisioner/ova/{ova}", "One OVA, as a list of one.", answer=Answer.LIST)
async def get_ova(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    return web.json_response([_object((await _found(request)).record)])


@endpoints.delete("/provisioner/ova/{ova}", "Remove an OVA with its volumes; VMs made of it stay.", Waited)
async def remove_ova(request: web.Request, given: Waited) -> web.Response:
    name, state, pools = request.match_info["ova"], state_of(request), request.app[POOLS]
    task = new_task(request, leftovers.REMOVAL, ("ova", name), name, phase="removing")

    async def remove(running: Running, held: Held[OVA]) -> Done:
        await ovas.remove(state, pools, held, running.report)
        return Done(f'Removed OVA "{name}".', {"volumes": [disk.volume for disk in held.record.disks]})

    holding = ovas.reserved_removable(state, pools, name, leftovers.holder(task))
    return await answer(request, task, holding, remove, wait=given.wait, doing=f'Removing OVA "{name}".')


@endpoints.post("/provisioner/ova/{ova}/define", "Define a VM like the machine of an OVA.", Define)
async def define_vm(request: web.Request, given: Define) -> web.Response:
    """Its disks are copies of the OVA's."""
    state, pools, ova = state_of(request), request.app[POOLS], (await _found(request)).record
    vm = await _vm(request, state, ova, given)
    done = Done(f'Added VM "{vm.name}" with UUID "{vm.uuid}" from OVA "{ova.name}".', {"uuid": vm.uuid})
    args = appliances.args(vm, done.sentence)
    task = new_task(request, leftovers.DEFINITION, ("vm", vm.uuid), vm.name, phase="copying", args=args)

    async def define(running: Running, _held: None) -> Done:
        await appliances.define(state, pools, ova, vm, running)
        return done

    holding = appliances.reserved_new(state, pools, vm, leftovers.holder(task))
    doing = f'Adding VM "{vm.name}" from OVA "{ova.name}".'
    return await answer(request, task, holding, define, wait=given.wait, doing=doing)


async def _found(request: web.Request) -> Held[OVA]:
    return await ovas.find(state_of(request), request.match_info["ova"])


async def _vm(request: web.Request, state: State, ova: OVA, given: Define) -> VM:
    disks = {disk.dev: appliance.volume_of_vm(disk.volume, given.name, disk.dev) for disk in ova.disks}
    for volume in disks.values():
        need_name("volume", volume.partition("/")[2], "name")
    written = appliance.xml(ova, given.name, disks, await _bridges(state, ova, given))
    xml = domain.normalise(written, new_uuid=state.new_uuid())
    uuid = domain.describe(xml).uuid
    xml = await vms.check_xml(state, xml, uuid, allow_host_devices=False)
    limit = await node_limit(state, given.limit)
    vm = VM(uuid=uuid, name=given.name, xml=xml, node="", node_limit=limit, node_selector=given.selector)
    config = request.app[CONFIG]
    try:
        only = await placing.owner(state, request.app[POOLS], vm, given.node, config.agent.node_name)
        selector = Selector(config.placement.selector)
        node = await placing.choose(state, given.node, vm, selector, only)
        return replace(vm, node=node)
    except NotFound as exc:
        raise InvalidInput({"node": f'names no node of this cluster: "{given.node}"'}) from exc


async def _bridges(state: State, ova: OVA, given: Define) -> list[str]:
    """The bridge of each NIC. Raises InvalidInput for a network that is missing or unknown."""
    bridges = {}
    for theirs, ours in appliance.mapped(ova, given.network).items():
        try:
            bridges[theirs] = (await networks.find(state, ours)).bridge
        except NotFound as exc:
            raise InvalidInput({"network": f'names no network of this cluster: "{ours}"'}) from exc
    return [bridges[nic.network] for nic in ova.nics]


def _object(ova: OVA) -> dict[str, Any]:
    return {
        "id": ova.name,
        "name": ova.name,
        "volumes": [_volume(disk) for disk in ova.disks],
        "title": ova.title,
        "vcpus": ova.vcpus,
        "memory": ova.memory,
        "firmware": "efi" if ova.efi else "bios",
        "networks": [{"network": nic.network, "model": nic.model} for nic in ova.nics],
        "size": ova.size,
        "manifest": ova.manifest,
        "certificate": ova.certificate,
        "passed_over": list(ova.passed_over),
        "created_by": ova.created_by,
        "created_at": ova.created_at,
        "problem": "",
    }


def _volume(disk: OVADisk) -> dict[str, Any]:
    pool, name = names.split_volume(disk.volume)
    return {
        "disk_id": disk.dev,
        "disk_size_gb": -(-disk.size // GIB),
        "pool": pool,
        "volume_name": name,
        "volume_format": "raw",
        "size": disk.size,
        "file": disk.file,
        "file_format": disk.format,
    }


def _unreadable(item: Unreadable) -> dict[str, Any]:
    return {"id": item.key, "name": item.key, "volumes": [], "problem": f"The record cannot be read: {item.reason}"}
