"""What may have been meant by a name that does not exist."""

from __future__ import annotations

from difflib import get_close_matches

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.names import names

_PATIENCE_S = 1.0
_MOST = 3
# Names that are compared: as many as the API tells at once.
_KNOWN = 10_000


def hinted(failure: Failure, api: Client) -> Failure:
    """Return `failure`, with the names that are like the unknown one where there are some."""
    kind, name = str(failure.fields.get("kind", "")).lower(), str(failure.fields.get("name", ""))
    near = similar(name, names(api, kind, _PATIENCE_S, most=_KNOWN)) if name else []
    if not near:
        return failure
    listed = ", ".join(f'"{one}"' for one in near)
    return Failure(failure.code, f"{failure} Similar: {listed}.", failure.fields)


def similar(name: str, known: list[str]) -> list[str]:
    """Return the nearest names, nearest first, whatever their case."""
    by_lower = {one.lower(): one for one in known}
    return [by_lower[near] for near in get_close_matches(name.lower(), by_lower, n=_MOST)]
