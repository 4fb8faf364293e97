"""/vm: VMs and their configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import field
from msgspec.structs import replace

from pvc.cluster import leftovers, networks, placing, vms
from pvc.cluster.state import Held, State, View
from pvc.cluster.tasks import Running
from pvc.cluster.vms import Removal
from pvc.errors import InvalidInput, NotFound
from pvc.model import domain
from pvc.model.records import VM, Desired, MigrationMethod, Network, Selector, Tag
from pvc.model.states import api_state
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.limits import Limit, matcher
from pvc.server.meta import node_limit
from pvc.server.parse import Nothing
from pvc.server.parts import CONFIG, POOLS, message
from pvc.server.rules import TagName, VMName, one_of
from pvc.server.session import SESSION, state_of, view_of
from pvc.server.vmlist import Shown, array
from pvc.server.vmview import vm_object
from pvc.server.working import Done, Waited, answer, new_task

endpoints = Endpoints()

_STATES = (
    "start",
    "restart",
    "shutdown",
    "stop",
    "disable",
    "fail",
    "migrate",
    "migrate-live",
    "unmigrate",
    "provision",
)


class ListQuery(msgspec.Struct):
    """tag: each must be there. negate: turns node, state and tag into their opposites, and nothing else."""

    limit: Limit | None = None
    node: str | None = None
    state: Annotated[str, one_of(_STATES)] | None = None
    tag: tuple[TagName, ...] = ()
    without_tag: tuple[TagName, ...] = ()
    any_tag: tuple[TagName, ...] = ()
    negate: bool = False


class Define(msgspec.Struct):
    xml: str
    limit: tuple[str, ...] = ()
    node: str | None = None
    selector: Selector = Selector.NONE
    autostart: bool = False
    migration_method: MigrationMethod = MigrationMethod.NONE
    user_tags: tuple[TagName, ...] = ()
    protected_tags: tuple[TagName, ...] = ()
    dry_run: bool = False


class Modify(msgspec.Struct):
    xml: str
    restart: bool = False
    dry_run: bool = False


class Remove(Waited):
    delete_disks: bool = False
    dry_run: bool = False


class Rename(msgspec.Struct):
    new_name: VMName = field()


@endpoints.get("/vm", "VMs.", ListQuery, answer=Answer.LIST)
async def list_vms(request: web.Request, query: ListQuery) -> web.StreamResponse:
    view = await view_of(request)
    await _check_filters(view, query)
    fits = matcher(query.limit)
    shown = await request.app[SESSION].vm_list.shown()
    if query != ListQuery():
        shown = [one for one in shown if _chosen(one, query) and _named(one, query.limit, fits)]
    return array(shown)


async def _check_filters(view: View, query: ListQuery) -> None:
    if query.node is not None:
        try:
            await view.node(query.node)
        except NotFound as exc:
            raise InvalidInput({"node": f'names no node of this cluster: "{query.node}"'}) from exc


def _named(one: Shown, limit: str | None, fits: Callable[[str], bool]) -> bool:
    return fits(one.name) or limit in (one.uuid, one.uuid.replace("-", ""))


def _chosen(one: Shown, query: ListQuery) -> bool:
    places = ((query.node, {one.node}), (query.state, {one.state}), *((tag, one.tags) for tag in query.tag))
    fits = all((word in found) is not query.negate for word, found in places if word is not None)
    return (
        fits and one.tags.isdisjoint(query.without_tag) and not (query.any_tag and one.tags.isdisjoint(query.any_tag))
    )


@endpoints.get("/vm/{vm}", "One VM, as a list of one.", answer=Answer.LIST)
async def get_vm(request: web.Request, _given: Nothing) -> web.Response:
    """A list of one."""
    state = state_of(request)
    held = await state.find_vm(request.match_info["vm"])
    return web.json_response([await _object(state, held, await networks.by_bridge(state))])


async def _object(state: State, held: Held[VM], bridges: Mapping[str, Network]) -> dict[str, Any]:
    node = held.record.node
    return vm_object(held.record, await state.node_status(node), bridges, await state.node_doubt(node))


@endpoints.post("/vm", "Define a VM by its XML.", Define)
@endpoints.post("/vm/{vm}", "Define a VM by its XML, which names it.", Define)
async def define_vm(request: web.Request, given: Define) -> web.Response:
    state, config = state_of(request), request.app[CONFIG]
    tags = _tags(given)
    xml = domain.normalise(given.xml, new_uuid=state.new_uuid())
    described = domain.describe(xml)
    xml = await vms.check_xml(state, xml, described.uuid, allow_host_devices=config.hypervisor.allow_host_devices)
    vm = VM(
        uuid=described.uuid,
        name=described.name,
        xml=xml,
        node="",  # chosen below, for what the VM is decides where it fits
        node_limit=await node_limit(state, given.limit),
        node_selector=given.selector,
        node_autostart=given.autostart,
        migration_method=given.migration_method,
        tags=tags,
    )
    vm = replace(vm, node=await _node(request, given.node, vm))
    await vms.define(state, request.app[POOLS], vm, dry_run=given.dry_run)
    if given.dry_run:
        return message(f'VM "{vm.name}" would be added to node "{vm.node}".', uuid=vm.uuid, xml=vm.xml)
    return message(f'Added VM "{vm.name}" with UUID "{vm.uuid}".', uuid=vm.uuid)


async def _node(request: web.Request, wanted: str | None, vm: VM) -> str:
    state, config = state_of(request), request.app[CONFIG]
    try:
        only = await placing.owner(state, request.app[POOLS], vm, wanted, config.agent.node_name)
        return await placing.choose(state, wanted, vm, Selector(config.placement.selector), only)
    except NotFound as exc:
        raise InvalidInput({"node": f'names no node of this cluster: "{wanted}"'}) from exc


def _tags(given: Define) -> tuple[Tag, ...]:
    found = {name: Tag(name=name) for name in given.user_tags}
    found |= {name: Tag(name=name, protected=True) for name in given.protected_tags}
    return tuple(found[name] for name in sorted(found))


@endpoints.put("/vm/{vm}", "Change the XML of a VM.", Modify)
async def modify_vm(request: web.Request, given: Modify) -> web.Response:
    """The name and UUID of a VM are not the XML's to change: rename does that."""
    state, config = state_of(request), request.app[CONFIG]
    held = await state.find_vm(request.match_info["vm"])
    vm = held.record
    xml = domain.normalise(given.xml, new_uuid=vm.uuid)
    described = domain.describe(xml)
    if (described.name, described.uuid) != (vm.name, vm.uuid):
        raise InvalidInput({"xml": f'must keep the name "{vm.name}" and the UUID "{vm.uuid}"'})
    xml = await vms.check_xml(state, xml, vm.uuid, allow_host_devices=config.hypervisor.allow_host_devices)
    difference = vms.diff(vm.xml, xml)
    if given.dry_run or not difference:
        text = f'VM "{vm.name}" would be modified.' if difference else f'VM "{vm.name}" is like this already.'
        return message(text, diff=difference)
    await vms.modify(state, request.app[POOLS], held, xml, restart=given.restart)
    later = vm.desired is Desired.RUNNING and not given.restart
    when = "; a running guest has it from its next start on" if later else ""
    return message(f'Modified the configuration of VM "{vm.name}"{when}.', diff=difference)


@endpoints.delete("/vm/{vm}", "Undefine a VM, with its volumes if asked to.", Remove)
async def remove_vm(request: web.Request, given: Remove) -> web.Response:
    state, here = state_of(request), request.app[CONFIG].agent.node_name
    vm = (await state.find_vm(request.match_info["vm"])).record
    pools = request.app[POOLS] if given.delete_disks else None
    if given.dry_run:
        return _planned(await vms.plan_removal(state, vm.name, pools, here))
    task = new_task(request, leftovers.REMOVAL, ("vm", vm.uuid), vm.name, phase="removing")

    async def remove(running: Running, removal: Removal) -> Done:
        await vms.undefine(state, request.app[POOLS], removal, running.report)
        return _removed(removal, with_volumes=given.delete_disks)

    holding = vms.reserved_removable(state, vm.name, leftovers.holder(task), pools, here)
    doing = f'{"Removing" if given.delete_disks else "Undefining"} VM "{vm.name}".'
    return await answer(request, task, holding, remove, wait=given.wait, doing=doing)


def _removed(removal: Removal, *, with_volumes: bool) -> Done:
    name, gone = removal.vm.name, removal.volumes
    if not with_volumes:
        return Done(f'Undefined VM "{name}" from the cluster.')
    return Done(f'Removed VM "{name}" and {_listed(gone)} from the cluster.', {"volumes": gone})


def _planned(removal: Removal) -> web.Response:
    stopped = "stopped and " if removal.stops else ""
    along = f", and {_listed(removal.volumes)} with it" if removal.volumes else ""
    text = f'VM "{removal.vm.name}" would be {stopped}removed{along}.'
    return message(text, volumes=removal.volumes, stops=removal.stops)


def _listed(volumes: list[str]) -> str:
    return ", ".join(f'its volume "{volume}"' for volume in volumes) or "no volume"


@endpoints.post("/vm/{vm}/rename", "Rename a VM and the volumes that are named after it.", Rename)
async def rename_vm(request: web.Request, given: Rename) -> web.Response:
    state = state_of(request)
    old = (await state.find_vm(request.match_info["vm"])).record.name
    moves = await vms.rename(state, request.app[POOLS], old, given.new_name)
    along = "".join(f', and its volume "{before}" to "{after}"' for before, after in moves.items())
    return message(f'Renamed VM "{old}" to "{given.new_name}"{along}.')


@endpoints.get("/vm/{vm}/node", "The node of a VM.")
async def get_node(request: web.Request, _given: Nothing) -> web.Response:
    vm = (await state_of(request).find_vm(request.match_info["vm"])).record
    return web.json_response({"name": vm.name, "node": vm.node, "last_node": vm.last_node})


@endpoints.get("/vm/{vm}/state", "The state of a VM.")
async def get_state(request: web.Request, _given: Nothing) -> web.Response:
    state = state_of(request)
    vm = (await state.find_vm(request.match_info["vm"])).record
    return web.json_response({"name": vm.name, "state": api_state(vm, await state.observed(vm))})
