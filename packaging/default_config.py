"""Prints pvc's default configuration with every option explained: /etc/pvc/pvc.toml of the Debian package.

Names and values come from the dataclasses of pvc.config, and the explanations are the comments of their source.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from pvc import toml
from pvc.cephconfig import RBDPool
from pvc.config import Config, DirectoryPool

HEAD = """\
# Configuration of "pvc serve" and "pvc agent". Every option stands here with its default, commented out; without any
# change this machine stands alone. A change holds from the next start of the daemon on, guests go on meanwhile:
#   systemctl restart pvc-server pvc-agent
# "pvc doctor" says what is wrong with it, "pvc serve --show-config" what is in force."""

# What is shown of pools, which have names of the operator's choice.
POOLS = {"local": DirectoryPool(path="/var/lib/pvc/pools/local"), "vms": RBDPool(pool="vms")}


def lines() -> Iterator[str]:
    yield HEAD
    config = Config()
    for name, why in explanations(Config):
        value = getattr(config, name)
        if name == "pools":
            yield from _pools(why)
        elif dataclasses.is_dataclass(value):
            yield f"\n[{name}]"
            yield from _options(value)
        else:
            yield ""
            yield from _option(name, value, why)


def _pools(why: list[str]) -> Iterator[str]:
    yield ""
    yield from why
    for name, pool in POOLS.items():
        yield f"\n#[pools.{name}]"
        yield from _options(pool)


def _options(section: Any) -> Iterator[str]:
    for name, why in explanations(type(section)):
        yield from _option(name, getattr(section, name), why)


def _option(name: str, value: Any, why: list[str]) -> Iterator[str]:
    yield from why
    yield from (f"#{line}" for line in toml.lines_of({name: value}, ""))


def explanations(kind: type[Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option of a dataclass with the comment that stands above it, those that it inherits first."""
    own: dict[str, list[str]] = {}
    for base in reversed(kind.__mro__[:-1]):
        own |= _comments(base)
    for item in dataclasses.fields(kind):
        yield item.name, own[item.name]


def _comments(kind: type[Any]) -> dict[str, list[str]]:
    source = textwrap.dedent(inspect.getsource(kind))
    text = source.splitlines()
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    fields = (node for node in definition.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))
    return {node.target.id: list(_above(text, node.lineno - 1)) for node in fields if isinstance(node.target, ast.Name)}


def _above(text: list[str], line: int) -> Iterator[str]:
    first = line
    while text[first - 1].lstrip().startswith("#"):
        first -= 1
    yield from (comment.strip() for comment in text[first:line])


if __name__ == "__main__":
    print("\n".join(lines()))
