"""The API described for programs, as OpenAPI 3.1: made from the declarations that make the routes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from pvc import __version__
from pvc.images import sparse
from pvc.server.endpoints import Answer, Endpoint
from pvc.server.parts import BASE

_REF = "#/components/schemas/{name}"
_FORMS = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
_IMAGES = ("application/octet-stream", sparse.CONTENT_TYPE)


class Message(msgspec.Struct):
    message: str


class Refusal(msgspec.Struct):
    message: str
    code: str
    fields: dict[str, Any]


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    declared = list(endpoints)
    kinds = [*{endpoint.params: None for endpoint in declared}, Message, Refusal]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    names = {kind: schema["$ref"].rpartition("/")[2] for kind, schema in zip(kinds, schemas, strict=True)}
    taken = {names[endpoint.params] for endpoint in declared}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in declared:
        name = names[endpoint.params]
        operation = _operation(endpoint, name, components[name])
        paths.setdefault(BASE + endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pvc",
            "version": __version__,
            "description": "Parameters that stand in a body here may stand in the query as well.",
        },
        "paths": paths,
        "components": {
            "schemas": {name: _plain(schema, closed=name in taken) for name, schema in components.items()},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
        },
        "security": [{"token": []}],
    }


def _plain(schema: dict[str, Any], *, closed: bool) -> dict[str, Any]:
    """Without our docstrings, which speak to the reader of the source. closed: nothing else may be given."""
    plain = {key: value for key, value in schema.items() if key != "description"}
    return plain | {"additionalProperties": False} if closed else plain


def _operation(endpoint: Endpoint, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "description": f'Takes the role "{endpoint.role}".',
        "operationId": _identifier(endpoint),
        "parameters": [_in_path(part) for part in re.findall(r"{(\w+)}", endpoint.path)],
        "responses": {"200": _granted(endpoint.answer), "default": _refused()},
    }
    if endpoint.image:
        operation["requestBody"] = {"content": {kind: {} for kind in _IMAGES}, "required": True}
    if endpoint.image or endpoint.method == "GET":
        operation["parameters"] += _in_query(schema)
    elif schema["properties"]:
        body = {"schema": {"$ref": _REF.format(name=name)}}
        operation["requestBody"] = {"content": dict.fromkeys(_FORMS, body), "required": bool(schema["required"])}
    return operation


def _identifier(endpoint: Endpoint) -> str:
    return "_".join([endpoint.method.lower(), *re.findall(r"\w+", endpoint.path)])


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": kind}
        for name, kind in schema["properties"].items()
    ]


_SCHEMAS: dict[Answer, dict[str, Any]] = {
    Answer.MESSAGE: {"$ref": _REF.format(name="Message")},
    Answer.OBJECT: {"type": "object"},
    Answer.LIST: {"type": "array", "items": {"type": "object"}},
    Answer.TEXT: {"type": "object"},
    Answer.EVENTS: {"type": "array", "items": {"type": "object"}},
}


_STREAMS = {Answer.TEXT: "text/plain", Answer.EVENTS: "text/event-stream"}


def _granted(answer: Answer) -> dict[str, Any]:
    if answer is Answer.IMAGE:
        return {"description": "Granted", "content": {kind: {} for kind in _IMAGES}}
    content: dict[str, Any] = {"application/json": {"schema": _SCHEMAS[answer]}}
    if answer in _STREAMS:
        content[_STREAMS[answer]] = {"schema": {"type": "string"}}
    return {"description": "Granted", "content": content}


def _refused() -> dict[str, Any]:
    return {
        "description": "Refused",
        "content": {"application/json": {"schema": {"$ref": _REF.format(name="Refusal")}}},
    }
