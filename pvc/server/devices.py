"""/vm/{vm}/device, /network and /volume: what is plugged into a VM, live by default."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from aiohttp import web

from pvc.cluster import devices, networks, vms, volumes
from pvc.cluster.devices import When
from pvc.cluster.state import Held, State
from pvc.errors import InvalidInput, NotFound, NotPermitted
from pvc.model import domain, names
from pvc.model.foreign import foreign_parts
from pvc.model.records import VM, Desired
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import CONFIG, POOLS, message, who
from pvc.server.rules import VolumePath, one_of, written
from pvc.server.session import state_of
from pvc.server.vmview import disk_object, nic_object

endpoints = Endpoints()

# Beyond the guest's own time to let go of a device: the agent's and the store's.
_MARGIN_S = 30.0

_MAC = written(names.MAC, 'must be written as "52:54:00:12:34:56"')
_MODEL = written(re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}"), 'must be a NIC model, as "virtio" or "e1000e"')
_DEV = written(re.compile(r"[vsh]d[a-z]{1,2}"), 'must be a device name, as "vdb" or "sdc"')


class Change(msgspec.Struct, kw_only=True):
    """live: in the running guest too, which is the default. restart: in the configuration, and the VM is restarted."""

    live: bool | None = None
    restart: bool = False


class Device(Change):
    xml: str


class AddNetwork(Change):
    net: str
    mac: Annotated[str, _MAC] | None = None
    model: Annotated[str, _MODEL] = "virtio"


class RemoveNetwork(Change):
    net: str | None = None
    mac: str | None = None


class AddVolume(Change):
    volume: VolumePath
    disk_id: Annotated[str, _DEV] | None = None
    bus: Annotated[str, one_of(domain.BUSES)] | None = None


class RemoveVolume(Change):
    volume: str


async def _change(
    request: web.Request, held: Held[VM], action: str, device: str, given: Change, what: str
) -> web.Response:
    """what: the device in words, as `network "lan"`."""
    when = _when(given)
    timeout_s = request.app[CONFIG].agent.detach_timeout_s + _MARGIN_S
    state = state_of(request)
    task = await devices.change(state, held, action, device, when=when, who=who(request), timeout_s=timeout_s)
    verb, to = ("Attached", "to") if action == devices.ATTACH else ("Detached", "from")
    if task is not None:
        return message(f'{verb} {what} {to} VM "{held.record.name}".', live=True)
    restarted = ", which is restarted" if when is When.RESTART and held.record.desired is Desired.RUNNING else ""
    return message(f'{verb} {what} {to} the configuration of VM "{held.record.name}"{restarted}.', live=False)


def _when(given: Change) -> When:
    if given.restart and given.live is not None:
        raise InvalidInput({"restart": 'must stand without "live"'})
    if given.restart:
        return When.RESTART
    return When.LATER if given.live is False else When.LIVE


async def _checked(request: web.Request, text: str) -> str:
    """A device's XML as it is stored. Raises InvalidXML, NotPermitted, Conflict, NotFound."""
    config, state = request.app[CONFIG].hypervisor, state_of(request)
    node = domain.parse_device(text, (*domain.DEVICES, *config.more_devices))
    foreign = foreign_parts(node)
    if foreign and not config.allow_host_devices:
        raise NotPermitted(problem=f"The device uses {foreign[0]}, which the configuration does not allow")
    match node.tag:
        case "interface":
            return await _with_mac(state, node, any_bridge=config.allow_host_devices)
        case "disk":
            await _check_disk(request, node)
        case _:
            _name(state, node)
    return domain.text_of(node)


async def _check_disk(request: web.Request, node: domain.Element) -> None:
    if not domain.disk(node).dev:
        raise InvalidInput({"xml": "has a disk without a device name"})
    volume = domain.volume_of(node)
    if volume:
        pool, name = _split(volume)
        await (await volumes.pool_of(request.app[POOLS], pool)).volume(name)


def _name(state: State, node: domain.Element) -> None:
    """Give the device an alias by which it is found again, in the running guest too."""
    name = domain.name_of(domain.with_alias(node, f"ua-{state.new_uuid()}"))
    if not domain.ALIAS.fullmatch(name):
        raise InvalidInput({"xml": 'has an alias that is not "ua-" and letters, digits, dashes or underscores'})


async def _with_mac(state: State, node: domain.Element, *, any_bridge: bool) -> str:
    taken = await networks.macs(state)
    nic = domain.nic(node)
    if nic.mac and not names.MAC.fullmatch(nic.mac):
        raise InvalidInput({"xml": f'has a MAC address "{nic.mac}" that is not one'})
    networks.check_unused(nic.mac, taken)
    if not any_bridge and nic.source not in await networks.by_bridge(state):
        problem = f'The device joins the bridge "{nic.source}", which is of no network, and the configuration'
        raise NotPermitted(problem=f"{problem} does not allow that")
    mac = nic.mac or next(vms.new_macs(taken))
    return domain.nic_xml(nic.source, mac, nic.model or "virtio") if not nic.mac else domain.text_of(node)


def _split(volume: str) -> tuple[str, str]:
    try:
        return names.split_volume(volume)
    except ValueError as exc:
        raise InvalidInput({"volume": str(exc)}) from exc


async def _vm(request: web.Request) -> Held[VM]:
    return await state_of(request).find_vm(request.match_info["vm"])


@endpoints.post("/vm/{vm}/device", "Attach a device, given as XML.", Device)
async def attach_device(request: web.Request, given: Device) -> web.Response:
    held = await _vm(request)
    return await _change(request, held, devices.ATTACH, await _checked(request, given.xml), given, "the device")


@endpoints.delete("/vm/{vm}/device", "Detach the device that the XML tells.", Device)
async def detach_device(request: web.Request, given: Device) -> web.Response:
    """The device is found by its disk target, its MAC or its alias; the only one of its kind needs no alias."""
    held = await _vm(request)
    node = domain.parse_device(given.xml, (*domain.DEVICES, *request.app[CONFIG].hypervisor.more_devices))
    device = domain.text_of(node if node.tag in domain.DEVICES else _which_device(held.record, node))
    return await _change(request, held, devices.DETACH, device, given, "the device")


def _which_device(vm: VM, wanted: domain.Element) -> domain.Element:
    """The one of that kind that has the alias, or the only one. Raises NotFound, InvalidInput."""
    named = [node for node in domain.parse(vm.xml).iterfind(f"devices/{wanted.tag}") if domain.name_of(node)]
    alias = domain.name_of(wanted)
    found = [node for node in named if alias in ("", domain.name_of(node))]
    if not found:
        raise NotFound(kind=f'device "{wanted.tag}" of VM "{vm.name}"', name=alias)
    if len(found) > 1:
        aliases = ", ".join(f'"{domain.name_of(node)}"' for node in found)
        raise InvalidInput({"xml": f"must say by its alias which of {aliases} goes"})
    return found[0]


@endpoints.get("/vm/{vm}/network", "Network interfaces of a VM.", answer=Answer.LIST)
async def list_networks(request: web.Request, _given: Nothing) -> web.Response:
    held, bridges = await _vm(request), await networks.by_bridge(state_of(request))
    return web.json_response([nic_object(nic, bridges) for nic in domain.describe(held.record.xml).nics])


@endpoints.post("/vm/{vm}/network", "Add a network interface to a VM.", AddNetwork)
async def add_network(request: web.Request, given: AddNetwork) -> web.Response:
    held, state = await _vm(request), state_of(request)
    network = await networks.find(state, given.net)
    taken = await networks.macs(state)
    mac = (given.mac or next(vms.new_macs(taken))).lower()
    device = await _checked(request, domain.nic_xml(network.bridge, mac, given.model))
    what = f'network "{network.description}" as "{mac}"'
    return await _change(request, held, devices.ATTACH, device, given, what)


@endpoints.delete("/vm/{vm}/network", "Remove a network interface from a VM.", RemoveNetwork)
async def remove_network(request: web.Request, given: RemoveNetwork) -> web.Response:
    held = await _vm(request)
    nic = await _which_nic(state_of(request), held.record, given)
    device = domain.nic_xml(nic.source, nic.mac, nic.model)
    return await _change(request, held, devices.DETACH, device, given, f'network interface "{nic.mac}"')


async def _which_nic(state: State, vm: VM, given: RemoveNetwork) -> domain.Nic:
    """The one NIC that fits. Raises NotFound, InvalidInput when several do."""
    if given.net is None and given.mac is None:
        raise InvalidInput({"net": 'or "mac" must say which interface goes'})
    bridge = (await networks.find(state, given.net)).bridge if given.net is not None else None
    mac = given.mac.lower() if given.mac is not None else None
    nics = domain.describe(vm.xml).nics
    found = [nic for nic in nics if (bridge is None or nic.source == bridge) and (mac is None or nic.mac == mac)]
    if not found:
        raise NotFound(kind="NIC", name=given.mac or given.net or "", owner=f'VM "{vm.name}"')
    if len(found) > 1:
        macs = ", ".join(f'"{nic.mac}"' for nic in found)
        raise InvalidInput({"mac": f"must say which of the interfaces {macs} goes"})
    return found[0]


@endpoints.get("/vm/{vm}/volume", "Disks of a VM.", answer=Answer.LIST)
async def list_volumes(request: web.Request, _given: Nothing) -> web.Response:
    held = await _vm(request)
    return web.json_response([disk_object(disk) for disk in domain.describe(held.record.xml).disks])


@endpoints.post("/vm/{vm}/volume", "Add a volume to a VM.", AddVolume)
async def add_volume(request: web.Request, given: AddVolume) -> web.Response:
    held = await _vm(request)
    dev, bus = _place(held.record, given)
    device = await _checked(request, domain.disk_xml(given.volume, dev, bus))
    return await _change(request, held, devices.ATTACH, device, given, f'volume "{given.volume}" as "{dev}"')


def _place(vm: VM, given: AddVolume) -> tuple[str, str]:
    """Device name and bus: what is asked for, else the lowest free name."""
    if given.disk_id is None:
        bus = given.bus or "virtio"
        return domain.next_dev(vm.xml, bus), bus
    return given.disk_id, given.bus or domain.bus_of(given.disk_id)


@endpoints.delete("/vm/{vm}/volume", "Remove a volume from a VM; the volume itself stays.", RemoveVolume)
async def remove_volume(request: web.Request, given: RemoveVolume) -> web.Response:
    held = await _vm(request)
    disks = domain.describe(held.record.xml).disks
    disk = next((one for one in disks if given.volume in (one.volume, one.dev)), None)
    if disk is None or not disk.volume:
        raise NotFound(kind="disk", name=given.volume, owner=f'VM "{held.record.name}"')
    device = domain.disk_xml(disk.volume, disk.dev, disk.bus)
    return await _change(request, held, devices.DETACH, device, given, f'volume "{disk.volume}"')
