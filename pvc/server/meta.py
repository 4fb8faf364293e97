"""/vm/{vm}/meta: settings that a VM's XML does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from aiohttp import web

from pvc.cluster import meta
from pvc.cluster.state import State
from pvc.errors import InvalidInput, NotFound
from pvc.model.records import VM, MigrationMethod, Selector
from pvc.server.endpoints import Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import message
from pvc.server.rules import Rule
from pvc.server.session import state_of

endpoints = Endpoints()

_LONGEST_PROFILE = 64
_LONGEST_DOWNTIME_MS = 2_000_000  # QEMU takes no more


def _check_profile(text: str) -> None:
    if len(text) > _LONGEST_PROFILE or not text.isprintable():
        raise ValueError(f"must be at most {_LONGEST_PROFILE} printable characters")


class Meta(msgspec.Struct):
    """What is absent stays as it is; an empty `limit` or `profile` is none.

    migration_max_downtime: how long (ms) a live migration may let the guest stand still; 0 for what its node says.
    """

    limit: tuple[str, ...] | None = None
    selector: Selector | None = None
    autostart: bool | None = None
    profile: Annotated[str, Rule(_check_profile)] | None = None
    migration_method: MigrationMethod | None = None
    migration_max_downtime: Annotated[int, msgspec.Meta(ge=0, le=_LONGEST_DOWNTIME_MS)] | None = None


@endpoints.get("/vm/{vm}/meta", "Settings of a VM that its XML does not have.")
async def get_meta(request: web.Request, _given: Nothing) -> web.Response:
    return web.json_response(_shown((await state_of(request).find_vm(request.match_info["vm"])).record))


@endpoints.post("/vm/{vm}/meta", "Change settings of a VM; those that are not named stay.", Meta)
async def change_meta(request: web.Request, given: Meta) -> web.Response:
    state = state_of(request)
    name = (await state.find_vm(request.match_info["vm"])).record.name
    settings = {
        "node_limit": None if given.limit is None else await node_limit(state, given.limit),
        "node_selector": given.selector,
        "node_autostart": given.autostart,
        "profile": given.profile,
        "migration_method": given.migration_method,
        "max_downtime_ms": given.migration_max_downtime,
    }
    asked = {field: value for field, value in settings.items() if value is not None}
    if not asked:
        first, *others = Meta.__struct_fields__
        raise InvalidInput({first: f"or one of {', '.join(others)} must be given"})
    vm = await meta.change(state, name, asked)
    return message(f'Changed the settings of VM "{vm.name}".', **_shown(vm))


def _shown(vm: VM) -> dict[str, Any]:
    return {
        "name": vm.name,
        "node_limit": list(vm.node_limit) or None,
        "node_selector": str(vm.node_selector),
        "node_autostart": vm.node_autostart,
        "migration_method": str(vm.migration_method),
        "migration_max_downtime": vm.max_downtime_ms or None,
        "profile": vm.profile,
    }


async def node_limit(state: State, given: Sequence[str]) -> tuple[str, ...]:
    """Nodes of this cluster, given one by one or with commas between. Raises InvalidInput."""
    names = [name.strip() for item in given for name in item.split(",") if name.strip()]
    for name in names:
        try:
            await state.node(name)
        except NotFound as exc:
            raise InvalidInput({"limit": f'names no node of this cluster: "{name}"'}) from exc
    return tuple(dict.fromkeys(names))
