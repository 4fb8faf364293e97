"""Dataclasses from TOML and back: what their hints allow and nothing else, every problem named by its key."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def build(kind: Any, raw: dict[str, Any], prefix: str, problems: list[str]) -> Any:
    hints = typing.get_type_hints(kind)
    problems.extend(_unknown(prefix, key, hints) for key in raw if key not in hints)
    values = {key: _value(hint, raw[key], f"{prefix}{key}", problems) for key, hint in hints.items() if key in raw}
    return kind(**{key: value for key, value in values.items() if value is not _WRONG})


def _unknown(prefix: str, key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"{prefix}{key} is not a known key." + "".join(f' Similar: "{one}".' for one in near)


_WRONG = object()


def _value(hint: Any, value: Any, name: str, problems: list[str]) -> Any:
    if typing.get_origin(hint) is types.UnionType:
        return _one_of(typing.get_args(hint), value, name, problems)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return build(hint, value, f"{name}.", problems)
        problems.append(f"{name} must be a table.")
    elif typing.get_origin(hint) is dict:
        return _table(typing.get_args(hint)[1], value, name, problems)
    elif typing.get_origin(hint) is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        problems.append(f"{name} must be a list of texts.")
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif type(value) is not hint or (hint is float and not math.isfinite(value)):
        problems.append(f"{name} must be {_KINDS[hint]}.")
    else:
        return value
    return _WRONG


def _one_of(hints: Sequence[Any], value: Any, name: str, problems: list[str]) -> Any:
    """Tables whose `kind` says which they are; the first is meant when it says nothing."""
    kinds = {hint().kind: hint for hint in hints}
    kind = value.get("kind", hints[0]().kind) if isinstance(value, dict) else hints[0]().kind
    if isinstance(kind, str) and kind in kinds:
        return _value(kinds[kind], value, name, problems)
    problems.append(f"{name}.kind must be {' or '.join(map(_literal, kinds))}.")
    return _WRONG


_KINDS: dict[Any, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _table(item: Any, value: Any, name: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{name} must be a table.")
        return _WRONG
    entries = {key: _value(item, entry, f'{name}."{key}"', problems) for key, entry in value.items()}
    return {key: entry for key, entry in entries.items() if entry is not _WRONG}


def lines_of(values: dict[str, Any], prefix: str) -> Iterator[str]:
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    for key, value in values.items():
        if key not in tables:
            yield f"{_key(key)} = {_literal(value)}"
    for key, value in tables.items():
        name = f"{prefix}{_key(key)}"
        yield f"\n[{name}]"
        yield from lines_of(value, f"{name}.")


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _literal(key)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + value.translate(_ESCAPES) + '"'
    return str(value)


_ESCAPES = {i: f"\\u{i:04x}" for i in range(32)} | {ord('"'): '\\"', ord("\\"): "\\\\", 127: "\\u007f"}
