"""The filter word of every list: a regular expression, searched anywhere unless it is anchored.

It comes from whoever may read, and is tried on every name: RE2 takes time in proportion to the name, never more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import re2

from pvc.server.rules import Rule

# Without a meaning of their own in an expression.
_WORD = re.compile(r"[\w-]+", re.ASCII)
_LONGEST = 200

_OPTIONS = re2.Options()
# Bytes that an expression may be made into: bounds what one name costs to some ten microseconds.
_OPTIONS.max_mem = 32 << 10
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False


def matcher(limit: str | None) -> Callable[[str], bool]:
    """Raises ValueError with a phrase when `limit` is not a regular expression, or a large one."""
    if not limit:
        return lambda _text: True
    if _WORD.fullmatch(limit):
        return lambda text: limit in text
    if len(limit) > _LONGEST:
        raise ValueError(f"must be at most {_LONGEST} characters")
    try:
        pattern = re2.compile(_bytes(limit), _OPTIONS)
    except re2.error as exc:
        raise ValueError(f"is not a regular expression: {exc.args[0].decode(errors='replace')}") from exc
    return lambda text: pattern.search(_bytes(text)) is not None


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


Limit = Annotated[str, Rule(matcher)]
