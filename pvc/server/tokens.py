"""/tokens: who may speak on the network."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from pvc.cluster import tokens
from pvc.cluster.state import Unreadable
from pvc.model.records import Role, Token
from pvc.server.auth import BOOK
from pvc.server.endpoints import Answer, Endpoints
from pvc.server.parse import Nothing
from pvc.server.parts import CONFIG, message, who
from pvc.server.rules import TokenName
from pvc.server.session import state_of

endpoints = Endpoints()


class Add(msgspec.Struct):
    name: TokenName
    role: Role


@endpoints.get("/tokens", "Tokens by name, without the tokens themselves.", answer=Answer.LIST, role=Role.ADMIN)
async def list_tokens(request: web.Request, _given: Nothing) -> web.Response:
    found = await tokens.every(state_of(request).store)
    return web.json_response([_shown(item) for item in found])


def _shown(item: Token | Unreadable) -> dict[str, Any]:
    if isinstance(item, Unreadable):
        problem = f"The record cannot be read: {item.reason}"
        return {"name": item.key, "role": "", "created_by": "", "created_at": 0.0, "problem": problem}
    return {
        "name": item.name,
        "role": str(item.role),
        "created_by": item.created_by,
        "created_at": item.created_at,
        "problem": "",
    }


@endpoints.post("/tokens", "Make a token, which only this answer shows.", Add, role=Role.ADMIN)
async def add_token(request: web.Request, given: Add) -> web.Response:
    name, state = given.name, state_of(request)
    token = await tokens.add(state, name, given.role, who(request))
    await request.app[BOOK].read(state.store)
    listens = "" if request.app[CONFIG].api.listen else " This server listens on no port: see api.listen."
    return message(f'Made token "{name}" with the role "{given.role}".{listens}', token=token)


@endpoints.delete("/tokens/{token}", "Revoke a token.", role=Role.ADMIN)
async def remove_token(request: web.Request, _given: Nothing) -> web.Response:
    name, state = request.match_info["token"], state_of(request)
    await tokens.remove(state, name)
    await request.app[BOOK].read(state.store)
    return message(f'Revoked token "{name}".')
