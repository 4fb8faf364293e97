"""What may have been meant by a name that does not exist, and how to come by a token."""

from __future__ import annotations

from difflib import get_close_matches

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.names import names

_PATIENCE_S = 1.0
_MOST = 3
# Names that are compared: as many as the API tells at once.
_KNOWN = 10_000
_TOKENS = '"pvc token add" on a server makes one; --token-file or PVC_TOKEN_FILE names its file.'


def hinted(failure: Failure, api: Client) -> Failure:
    """Return `failure`, with what helps against it where there is something."""
    if failure.code == "unauthenticated":
        return Failure(failure.code, f"{failure} {_TOKENS}", failure.fields)
    return _named(failure, api) if failure.code == "not_found" else failure


def _named(failure: Failure, api: Client) -> Failure:
    """With the names that are like the unknown one where there are some."""
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
