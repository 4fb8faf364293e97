"""Endpoints, declared where they are answered: path, parameters, who may call, what the answer is.

One declaration makes the route, reads and checks the parameters, guards the endpoint, and is a path of openapi.json.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import msgspec
from aiohttp import web

from pvc.model.records import Role
from pvc.server.parse import MAX_BODY, Nothing, parameters, query
from pvc.server.parts import BASE

P = TypeVar("P", bound=msgspec.Struct)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answering = Callable[[web.Request, P], Awaitable[web.StreamResponse]]


class Answer(StrEnum):
    """What a granted request gets."""

    MESSAGE = "message"  # an object with one sentence under `message`, and what else there is to tell
    OBJECT = "object"
    LIST = "list"  # of objects
    TEXT = "text"  # or an object, as the parameters ask
    EVENTS = "events"  # a list of objects, or an endless stream of them
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """path: below BASE. image: the body is an image, and parameters stand in the query alone."""

    method: str
    path: str
    summary: str
    params: type[msgspec.Struct]
    role: Role
    answer: Answer
    image: bool
    handler: Handler


class Endpoints(list[Endpoint]):
    """The endpoints of one module. summary: one sentence, for openapi.json. A GET needs Role.READ, others OPERATE."""

    def get(
        self,
        path: str,
        summary: str,
        params: type[P] = Nothing,  # type: ignore[assignment]
        *,
        answer: Answer = Answer.OBJECT,
        role: Role = Role.READ,
    ) -> Callable[[Answering[P]], Answering[P]]:
        return self._declare("GET", path, summary, params, role, answer)

    def post(
        self,
        path: str,
        summary: str,
        params: type[P] = Nothing,  # type: ignore[assignment]
        *,
        role: Role = Role.OPERATE,
        image: bool = False,
        most: int = MAX_BODY,
    ) -> Callable[[Answering[P]], Answering[P]]:
        """most: bytes of the body."""
        return self._declare("POST", path, summary, params, role, Answer.MESSAGE, image=image, most=most)

    def put(
        self,
        path: str,
        summary: str,
        params: type[P] = Nothing,  # type: ignore[assignment]
        *,
        role: Role = Role.OPERATE,
    ) -> Callable[[Answering[P]], Answering[P]]:
        return self._declare("PUT", path, summary, params, role, Answer.MESSAGE)

    def patch(
        self,
        path: str,
        summary: str,
        params: type[P] = Nothing,  # type: ignore[assignment]
        *,
        role: Role = Role.OPERATE,
        image: bool = False,
    ) -> Callable[[Answering[P]], Answering[P]]:
        return self._declare("PATCH", path, summary, params, role, Answer.MESSAGE, image=image)

    def delete(
        self,
        path: str,
        summary: str,
        params: type[P] = Nothing,  # type: ignore[assignment]
        *,
        role: Role = Role.OPERATE,
    ) -> Callable[[Answering[P]], Answering[P]]:
        return self._declare("DELETE", path, summary, params, role, Answer.MESSAGE)

    def _declare(
        self,
        method: str,
        path: str,
        summary: str,
        params: type[P],
        role: Role,
        answer: Answer,
        *,
        image: bool = False,
        most: int = MAX_BODY,
    ) -> Callable[[Answering[P]], Answering[P]]:
        def declared(answering: Answering[P]) -> Answering[P]:
            async def handler(request: web.Request) -> web.StreamResponse:
                allowed = request if most == MAX_BODY else request.clone(client_max_size=most)
                given = query(request, params) if image else await parameters(allowed, params)
                return await answering(request, given)

            self.append(Endpoint(method, path, summary, params, role, answer, image, handler))
            return answering

        return declared


ENDPOINTS = web.AppKey("endpoints", Mapping[Handler, Endpoint])


def add_endpoints(app: web.Application, endpoints: Iterable[Endpoint]) -> None:
    app[ENDPOINTS] = {endpoint.handler: endpoint for endpoint in endpoints}
    for endpoint in app[ENDPOINTS].values():
        methods = ("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,)
        for method in methods:
            app.router.add_route(method, BASE + endpoint.path, endpoint.handler)


def role_needed(request: web.Request) -> Role:
    """What calling this takes; for a path that is no endpoint, what its method would."""
    endpoint = request.app[ENDPOINTS].get(request.match_info.handler)
    if endpoint is not None:
        return endpoint.role
    return Role.READ if request.method in ("GET", "HEAD", "OPTIONS") else Role.OPERATE
