"""A request's parameters, from the query, a form or a JSON body: typed, complete, all problems at once."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Mapping
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec.structs import FieldInfo, fields

from pvc.errors import InvalidInput
from pvc.model.names import problem_with
from pvc.server.rules import check

P = TypeVar("P", bound=msgspec.Struct)

_NUMBER = re.compile(r"[+-]?[0-9.]{1,40}(?:[eE][+-]?[0-9]{1,3})?")
_TRUE = frozenset(("y", "yes", "t", "true", "on", "1"))
_FALSE = frozenset(("n", "no", "f", "false", "off", "0"))

# A document (XML) and its company; uploads do not pass here.
MAX_BODY = 1024 * 1024
# A body that is a document as a whole, and none of parameters: they stand in the query then.
DOCUMENT = "application/vnd.pvc.backup+json"


class Nothing(msgspec.Struct):
    """For a request that takes no parameters."""


async def parameters(request: web.Request, kind: type[P]) -> P:
    """Read `kind`'s fields. Raises InvalidInput: unknown, missing, twice, or not what a field and its rules take."""
    given = _from_query(request)
    problems: dict[str, str] = {}
    for name, values in (await _from_body(request)).items():
        given.setdefault(name, []).extend(values)
    return build(kind, given, problems)


def query(request: web.Request, kind: type[P]) -> P:
    """As `parameters`, from the query alone: for requests whose body is an image."""
    return build(kind, _from_query(request), {})


def build(kind: type[P], given: Mapping[str, list[Any]], problems: dict[str, str]) -> P:
    known = {field.encode_name: field for field in fields(kind)}
    problems.update({name: f"is not known here; known are {_listed(known)}" for name in given if name not in known})
    values = {}
    for name, field in known.items():
        if name in given:
            try:
                values[field.name] = _value(field, given[name])
            except ValueError as exc:
                problems[name] = str(exc)
        elif field.required:
            problems[name] = "is missing"
    if problems:
        raise InvalidInput(problems)
    return kind(**values)


def _listed(known: Mapping[str, object]) -> str:
    return ", ".join(f'"{name}"' for name in known) or "none"


def _from_query(request: web.Request) -> dict[str, list[Any]]:
    return {name: list(request.query.getall(name)) for name in request.query}


async def _from_body(request: web.Request) -> dict[str, list[Any]]:
    if request.content_type == DOCUMENT:
        return {}
    if request.content_type == "application/json":
        return _from_json(await request.read())
    if request.content_type == "application/x-www-form-urlencoded":
        return _from_form(await request.read())
    if request.content_type == "multipart/form-data" and request.method in request.POST_METHODS:
        return await _from_parts(request)
    if request.can_read_body and await request.read():
        raise InvalidInput({"body": "must be a form or JSON"})
    return {}


def _from_form(data: bytes) -> dict[str, list[Any]]:
    try:
        return dict(parse_qs(data.decode(), keep_blank_values=True, errors="strict"))
    except ValueError as exc:
        raise InvalidInput({"body": "is not the form that it is said to be"}) from exc


async def _from_parts(request: web.Request) -> dict[str, list[Any]]:
    try:
        form = await request.post()
    except (ValueError, HttpProcessingError) as exc:
        raise InvalidInput({"body": "is not the form that it is said to be"}) from exc
    return {name: [_text(value) for value in form.getall(name)] for name in form}


def _text(value: object) -> str:
    if isinstance(value, web.FileField):
        return value.file.read().decode(errors="replace")
    return str(value)


def _from_json(text: bytes) -> dict[str, list[Any]]:
    try:
        body = json.loads(text, object_pairs_hook=_gathered) if text.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise InvalidInput({"body": "is not JSON"}) from exc
    if not isinstance(body, dict):
        raise InvalidInput({"body": "must be a JSON object"})
    return body


def _gathered(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Every value of each name; null is as good as absent."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        if value is not None:
            found.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return found


def _value(field: FieldInfo, given: list[Any]) -> Any:
    kind = _bare(field.type)
    if typing.get_origin(kind) is tuple:
        return tuple(_one(typing.get_args(kind)[0], item) for item in given)
    if len(given) != 1:
        raise ValueError("must be given once")
    return _one(kind, given[0])


def _bare(kind: Any) -> Any:
    """The type inside `X | None`."""
    if isinstance(kind, UnionType) or typing.get_origin(kind) is typing.Union:
        return next(part for part in typing.get_args(kind) if part is not NoneType)
    return kind


def _one(kind: Any, value: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise ValueError("must be a single value")
    if typing.get_origin(kind) is typing.Annotated:
        found = _one(kind.__origin__, value)
        check(found, kind.__metadata__)
        return found
    if kind is bool:
        return _boolean(value)
    text = str(value)
    if kind is int:
        return _number(text, int, "a whole number")
    if kind is float:
        return _number(text, float, "a number")
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _choice(kind, text)
    return text


def _boolean(value: object) -> bool:
    text = str(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError('must be "true" or "false"')


def _number(text: str, kind: type[int] | type[float], what: str) -> int | float:
    """Plain decimal notation: Python's own would take 1_000 and the digits of every script."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"must be {what}")
    try:
        number = kind(text)
    except ValueError as exc:
        raise ValueError(f"must be {what}") from exc
    if number == float("inf") or number == float("-inf"):
        raise ValueError(f"must be {what}")
    return number


def _choice(kind: type[StrEnum], text: str) -> StrEnum:
    try:
        return kind(text)
    except ValueError as exc:
        raise ValueError(f"must be one of {', '.join(chr(34) + one.value + chr(34) for one in kind)}") from exc


def need_name(kind: str, name: str, argument: str | None = None) -> str:
    """Return `name` when it may name a `kind` (model.names). Raises InvalidInput."""
    if problem := problem_with(kind, name):
        raise InvalidInput({argument or kind.lower(): problem})
    return name
