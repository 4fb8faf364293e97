"""The shape of every answer that says no."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from pvc import errors
from pvc.outcomes import STATUS

log = logging.getLogger("pvc.server")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status_of(exc: errors.PVCError) -> int:
    """A class that the table does not have is a bug of ours: 500."""
    return STATUS.get(exc.code, 500)


def refusal(status: int, message: str, code: str, fields: object = None) -> web.Response:
    body = {"message": message, "code": code, "fields": fields or {}}
    return web.json_response(body, status=status, dumps=lambda value: json.dumps(value, default=str))


def refused(exc: errors.PVCError) -> web.Response:
    return refusal(status_of(exc), str(exc), exc.code, exc.fields)


@web.middleware
async def speak(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into a JSON answer of one form."""
    try:
        return await handler(request)
    except errors.PVCError as exc:
        if status_of(exc) >= 500:
            log.warning("%s %s: %s", request.method, request.rel_url.raw_path, exc)
        return refused(exc)
    except web.HTTPException as exc:
        return _http(request, exc)
    except ConnectionError:
        raise  # the client is gone: nobody reads an answer
    except Exception:
        number = uuid.uuid4().hex[:12]
        log.exception("Problem %s at %s %s", number, request.method, request.rel_url.raw_path)
        return refusal(500, f'Internal problem, described in the log of pvc serve under "{number}".', "internal")


def _http(request: web.Request, exc: web.HTTPException) -> web.Response:
    if exc.status == 404:
        return refusal(404, f'No such path "{request.path}".', "no_such_path")
    if isinstance(exc, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exc.allowed_methods))
        answer = refusal(405, f'Path "{request.path}" takes {allowed}.', "method_not_allowed")
        answer.headers["Allow"] = allowed
        return answer
    if isinstance(exc, web.HTTPRequestEntityTooLarge):
        return refused(errors.TooLarge(what="The request's body", size="too many", limit=request.client_max_size))
    return refusal(exc.status, f"The request cannot be understood: {exc.reason}", "invalid_request")
