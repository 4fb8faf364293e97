"""What a parameter may be beyond its type: written on its field, and so checked together with all the others.

A number's range is msgspec's own `Meta`, which the description of the API shows as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from pvc.model.names import problem_with, split_volume
from pvc.units import parse_size


@dataclass(frozen=True, slots=True)
class Rule:
    """check: raises ValueError with a phrase when the value will not do."""

    check: Callable[[Any], object]


def check(value: Any, rules: tuple[Any, ...]) -> None:
    """rules: the metadata of an annotated type. Raises ValueError with a phrase."""
    for rule in rules:
        if isinstance(rule, Rule):
            rule.check(value)
        elif isinstance(rule, Meta) and not _within(value, rule):
            raise ValueError(_range(rule))


def _within(value: float, range_: Meta) -> bool:
    return (range_.ge is None or value >= range_.ge) and (range_.le is None or value <= range_.le)


def _range(range_: Meta) -> str:
    return f"must be at least {range_.ge:g}" if range_.le is None else f"must be {range_.ge:.9g} to {range_.le:.9g}"


def named(kind: str) -> Rule:
    """kind: as model.names has it."""

    def check_name(name: str) -> None:
        if problem := problem_with(kind, name):
            raise ValueError(problem)

    return Rule(check_name)


def written(pattern: re.Pattern[str], problem: str) -> Rule:
    def check_text(text: str) -> None:
        if not pattern.fullmatch(text):
            raise ValueError(problem)

    return Rule(check_text)


def one_of(words: Collection[str]) -> Rule:
    def check_word(word: str) -> None:
        if word not in words:
            raise ValueError(f"must be one of {', '.join(words)}")

    return Rule(check_word)


TagName = Annotated[str, named("tag")]
VMName = Annotated[str, named("VM")]
SnapshotName = Annotated[str, named("snapshot")]
VolumeName = Annotated[str, named("volume")]
PoolName = Annotated[str, named("pool")]
NodeName = Annotated[str, named("node")]
TokenName = Annotated[str, named("token")]
OVAName = Annotated[str, named("OVA")]
NetworkName = Annotated[str, named("network")]
# Bytes, or with a suffix.
Size = Annotated[str, Rule(parse_size)]
# POOL/VOLUME
VolumePath = Annotated[str, Rule(split_volume)]
