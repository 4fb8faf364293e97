"""/vm/{vm}/vcpu and /memory: what a VM has of its node from its next start on."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from pvc.cluster import power, sizes
from pvc.cluster.state import Held, State
from pvc.errors import InvalidInput
from pvc.model import domain, sizing
from pvc.model.records import VM
from pvc.server.endpoints import Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import message
from pvc.server.rules import Rule
from pvc.server.session import state_of
from pvc.units import MIB, format_size, parse_size

endpoints = Endpoints()


def mebibytes(text: str) -> int:
    """The API counts memory in MiB, so a plain number is that. Raises ValueError with a phrase."""
    try:
        size = parse_size(f"{text}M" if text.strip().isdecimal() else text)
    except ValueError as exc:
        raise ValueError('must be a number of MiB or have a suffix K, M, G or T, like "2G"') from exc
    if size % MIB:
        raise ValueError("must be whole MiB")
    return size // MIB


class SetVCPU(msgspec.Struct):
    """topology: sockets/cores/threads."""

    vcpu: Annotated[int, msgspec.Meta(ge=1)]
    topology: str | None = None
    restart: bool = False


class SetMemory(msgspec.Struct):
    """memory: MiB, or with a suffix K, M, G or T."""

    memory: Annotated[str, Rule(mebibytes)]
    restart: bool = False


@endpoints.get("/vm/{vm}/vcpu", "CPUs of a VM.")
async def get_vcpu(request: web.Request, _given: Nothing) -> web.Response:
    vm, found = await _described(request)
    return web.json_response({"name": vm.name, "vcpu": found.vcpu, "vcpu_topology": found.topology})


@endpoints.get("/vm/{vm}/memory", "Memory of a VM, in MiB.")
async def get_memory(request: web.Request, _given: Nothing) -> web.Response:
    """MiB."""
    vm, found = await _described(request)
    return web.json_response({"name": vm.name, "memory": found.memory})


async def _described(request: web.Request) -> tuple[VM, domain.Domain]:
    vm = (await state_of(request).find_vm(request.match_info["vm"])).record
    return vm, domain.describe(vm.xml)


@endpoints.post("/vm/{vm}/vcpu", "Give a VM another number of CPUs.", SetVCPU)
async def set_vcpu(request: web.Request, given: SetVCPU) -> web.Response:
    topology = _topology(given)
    state = state_of(request)
    held = await state.find_vm(request.match_info["vm"])
    new = await sizes.set_vcpu(state, held, given.vcpu, topology, restart=given.restart)
    return await _answer(state, held, new, "1 vCPU" if given.vcpu == 1 else f"{given.vcpu} vCPUs")


def _topology(given: SetVCPU) -> tuple[int, ...] | None:
    try:
        return None if given.topology is None else sizing.parse_topology(given.topology, given.vcpu)
    except ValueError as exc:
        raise InvalidInput({"topology": str(exc)}) from exc


@endpoints.post("/vm/{vm}/memory", "Give a VM more or less memory.", SetMemory)
async def set_memory(request: web.Request, given: SetMemory) -> web.Response:
    wanted = mebibytes(given.memory)
    state = state_of(request)
    held = await state.find_vm(request.match_info["vm"])
    new = await sizes.set_memory(state, held, wanted, restart=given.restart)
    return await _answer(state, held, new, f"{format_size(wanted * MIB)} of memory")


async def _answer(state: State, held: Held[VM], new: VM, what: str) -> web.Response:
    """what: the new size in words."""
    if new.run != held.record.run:
        return message(f'VM "{new.name}" has {what} and is restarted.')
    later = " from its next start on" if (await state.observed(new)).power in power.ALIVE else ""
    return message(f'VM "{new.name}" has {what}{later}.')
