"""/vm/{vm}/locks: what a machine that died left locked of a VM's volumes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from pvc.cluster import vmlocks
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import POOLS, message
from pvc.server.session import state_of
from pvc.storage.base import Lock

endpoints = Endpoints()


@endpoints.get("/vm/{vm}/locks", "Who has a VM's volumes for itself, alive or not.", answer=Answer.LIST)
async def list_locks(request: web.Request, _given: Nothing) -> web.Response:
    vm = (await state_of(request).find_vm(request.match_info["vm"])).record
    return web.json_response(_shown(await vmlocks.seen(request.app[POOLS], vm)))


@endpoints.post("/vm/{vm}/locks", "Break the locks on the volumes of a VM that runs nowhere.")
async def flush_locks(request: web.Request, _given: Nothing) -> web.Response:
    vm, broken = await vmlocks.flush(state_of(request), request.app[POOLS], request.match_info["vm"])
    return message(f'Flushed locks on VM "{vm.name}".', locks=_shown(broken))


def _shown(found: Iterable[tuple[str, Lock]]) -> list[dict[str, Any]]:
    return [{"volume": volume, "owner": lock.owner, "address": lock.address} for volume, lock in found]
