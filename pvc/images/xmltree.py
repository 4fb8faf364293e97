"""A small XML document from a stranger, as a tree of local names. No DOCTYPE, so no entities; nothing is fetched."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pvc.errors import InvalidImage

_MOST_ELEMENTS = 20_000
_DEEPEST = 64


def parse(data: bytes, what: str) -> Element:
    """what: it is called so in a refusal. Namespaces are dropped, those of attributes too. Raises InvalidImage."""
    builder = _Builder(what)
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as exc:  # the latter two: an encoding that is none
        raise InvalidImage(problem=f"{what} is not well-formed XML: {exc}") from exc
    return builder.root()


class _Builder:
    def __init__(self, what: str) -> None:
        self._tree, self._what = TreeBuilder(), what
        self._count = self._depth = 0

    def root(self) -> Element:
        return self._tree.close()

    def doctype(self, *_declared: object) -> None:
        raise InvalidImage(problem=f"{self._what} has a DOCTYPE, which pvc does not accept")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count, self._depth = self._count + 1, self._depth + 1
        if self._count > _MOST_ELEMENTS or self._depth > _DEEPEST:
            raise InvalidImage(problem=f"{self._what} has too many elements, or too many in each other")
        self._tree.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(self, name: str) -> None:
        self._depth -= 1
        self._tree.end(_local(name))

    def text(self, data: str) -> None:
        self._tree.data(data)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
