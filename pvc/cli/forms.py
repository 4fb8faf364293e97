"""Answers as other programs read them: YAML, CSV, bare values. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pvc.cli.failure import Failure
from pvc.cli.layout import Column, Row, cell, value_of


def chosen(columns: Sequence[Column], wanted: str) -> list[Column]:
    """Return the columns that `wanted` names by their titles, in its order and in either case; all for ""."""
    if not wanted:
        return list(columns)
    by_name = {title.lstrip(">").lower(): (title, source) for title, source in columns}
    names = [name.strip().lower() for name in wanted.split(",")]
    unknown = next((name for name in names if name not in by_name), None)
    if unknown is not None:
        raise Failure("usage", f'No column "{unknown}": there are {", ".join(by_name)}.')
    return [by_name[name] for name in names]


def yaml(value: Any) -> Iterator[str]:
    """Yield lines of YAML 1.2; texts are quoted as in JSON, so that no reader takes one for something else."""
    match value:
        case dict() if value:
            yield from _mapping(value)
        case list() if value:
            for item in value:
                first, *rest = yaml(item)
                yield f"- {first}"
                yield from (f"  {line}" for line in rest)
        case _:
            yield json.dumps(value, ensure_ascii=False)


def _mapping(value: Mapping[str, Any]) -> Iterator[str]:
    for key, item in value.items():
        name = key if key.isidentifier() and key.lower() not in _WORDS else json.dumps(key, ensure_ascii=False)
        if isinstance(item, (dict, list)) and item:
            yield f"{name}:"
            yield from (f"  {line}" for line in yaml(item))
        else:
            yield f"{name}: {json.dumps(item, ensure_ascii=False)}"


# What some readers of YAML take for true, false or nothing.
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def csv(rows: Iterable[Row], columns: Sequence[Column], *, headers: bool) -> Iterator[str]:
    """Yield lines of CSV (RFC 4180): a column's title, then a value for each row."""
    if headers:
        yield ",".join(_quoted(title.lstrip(">")) for title, _ in columns)
    for row in rows:
        yield ",".join(_quoted(_bare(value_of(row, source))) for _, source in columns)


def raw(rows: Iterable[Row], columns: Sequence[Column]) -> Iterator[str]:
    """Yield the values of each row, a tab between them."""
    for row in rows:
        yield "\t".join(_bare(value_of(row, source)) for _, source in columns)


def _bare(value: object) -> str:
    return "" if value is None or value == "" or value == [] else cell(value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\r\n') else text
