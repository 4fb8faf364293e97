"""The manifest of an OVA: which hash each file must have. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pvc.errors import InvalidImage
from pvc.images.tar import shown
from pvc.units import KIB

MANIFEST_BYTES = 256 * KIB
ALGORITHMS = ("sha1", "sha256", "sha512")

_LINE = re.compile(r"([A-Za-z0-9-]{3,10})\s*\((.+)\)\s*=\s*([0-9A-Fa-f]{40,128})")


@dataclass(frozen=True, slots=True)
class Digest:
    """algorithm: one of ALGORITHMS."""

    algorithm: str
    hex: str


def parse(data: bytes) -> dict[str, Digest]:
    """By file. Raises InvalidImage."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as exc:
        raise InvalidImage(problem="its manifest is not text") from exc
    found: dict[str, Digest] = {}
    for line in filter(None, map(str.strip, lines)):
        name, digest = _entry(line)
        if found.setdefault(name, digest) != digest:
            raise InvalidImage(problem=f'its manifest has two hashes for "{shown(name)}"')
    if not found:
        raise InvalidImage(problem="its manifest is empty")
    return found


def _entry(line: str) -> tuple[str, Digest]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise InvalidImage(problem=f'its manifest has a line that is none: "{shown(line)}"')
    algorithm = match[1].lower().replace("-", "")
    if algorithm not in ALGORITHMS:
        raise InvalidImage(problem=f'its manifest has a hash that is not known here, "{shown(match[1])}"')
    return match[2], Digest(algorithm, match[3].lower())


def check(manifest: Mapping[str, Digest], seen: Mapping[str, Mapping[str, str]], required: Iterable[str]) -> None:
    """Raises InvalidImage. seen: the hashes of each file. required: what the manifest must name."""
    for problem in _problems(manifest, seen, required):
        raise InvalidImage(problem=problem)


def _problems(
    manifest: Mapping[str, Digest], seen: Mapping[str, Mapping[str, str]], required: Iterable[str]
) -> Iterator[str]:
    for name, digest in manifest.items():
        if name not in seen:
            yield f'its manifest names "{shown(name)}", which is not in the archive'
        elif (found := seen[name][digest.algorithm]) != digest.hex:
            yield f'"{shown(name)}" is not what the manifest says: its {digest.algorithm.upper()} is {found}'
    for name in required:
        if name not in manifest:
            yield f'its manifest does not name "{shown(name)}"'
