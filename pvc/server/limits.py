"""The filter word of every list: a regular expression, searched anywhere unless it is anchored."""

from __future__ import annotations

import re
from collections.abc import Callable

from pvc.errors import InvalidInput


def matcher(limit: str | None) -> Callable[[str], bool]:
    """Raises InvalidInput when `limit` is not a regular expression."""
    if not limit:
        return lambda _text: True
    try:
        pattern = re.compile(limit)
    except (re.error, OverflowError, RecursionError) as exc:
        raise InvalidInput({"limit": f"is not a regular expression: {exc}"}) from exc
    return lambda text: pattern.search(text) is not None
