"""A backup: everything that is configuration, nothing that is volatile, as one JSON document; secrets only locked.

The same configuration makes the same content, byte for byte: records in the order of their names, fields in that of
their declaration, XML line by line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from pvc.errors import InvalidInput
from pvc.model import foreignbackup
from pvc.model.content import Content, problems
from pvc.model.locked import Locked, Secrets
from pvc.model.records import OVA, VM, DomainState, Network, Node

FORMAT = "pvc-backup"
SCHEMA = 1

# By the schema that each takes: the content of a backup as the next schema has it.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

# Of what is wrong with a document, as many are told.
_MOST_TOLD = 5

_R = TypeVar("_R", VM, Network, Node, OVA)


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when: all that differs between two backups of the same configuration. at: UTC, as RFC 3339 has it."""

    at: str
    revision: int
    generation: str


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be read, and so is not in the content. value: as it was stored."""

    kind: str
    name: str
    problem: str
    value: str


@dataclass(frozen=True, slots=True)
class Backup:
    """cluster: its id, "" where the document has none. notes: what is not restored of it, a sentence each.

    locked: its secrets, bound to `bound`; `secrets` once they are opened, and are to be restored.
    """

    content: Content
    cluster: str = ""
    notes: tuple[str, ...] = ()
    foreign: bool = False
    locked: Locked | None = None
    bound: bytes = b""
    secrets: Secrets | None = None


def document(
    content: Content,
    cluster: str,
    taken: Taken,
    unread: tuple[Unread, ...] = (),
    lock: Callable[[bytes], Locked] | None = None,
) -> bytes:
    """lock: makes the locked secrets, which open together with the bytes that it is given and with no others."""
    inside = _plain(content)
    whole: dict[str, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "cluster": cluster,
        "taken": msgspec.to_builtins(taken),
        "counts": {kind: len(records) for kind, records in inside.items()},
        "unread": msgspec.to_builtins(unread),
        "sha256": digest(inside),
        "content": inside,
    }
    if lock is not None:
        whole["secrets"] = msgspec.to_builtins(lock(_bound(whole)))
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def digest(content: Any) -> str:
    """Of the content as JSON with sorted names, no spaces, in UTF-8."""
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def _bound(whole: dict[str, Any]) -> bytes:
    """What a document is, so that secrets of one do not open in another."""
    return msgspec.json.encode([whole.get(name) for name in ("format", "schema", "cluster", "sha256")])


def _plain(content: Content) -> dict[str, list[dict[str, Any]]]:
    return {
        "networks": [msgspec.to_builtins(network) for network in content.networks],
        "nodes": [msgspec.to_builtins(node) for node in content.nodes],
        "ovas": [msgspec.to_builtins(ova) for ova in content.ovas],
        "vms": [{**msgspec.to_builtins(vm), "xml": vm.xml.split("\n")} for vm in content.vms],
    }


def read(data: bytes) -> Backup:
    """Read and check a document, of this program or of the original Parallel Virtual Cluster. Raises InvalidInput."""
    whole = _loaded(data)
    if isinstance(whole, str):  # the original's API answers JSON within JSON
        whole = _loaded(whole.encode(errors="replace"))
    if not isinstance(whole, dict):
        raise _refusal("is not a backup: it must be a JSON object")
    if whole.get("format") == FORMAT:
        backup = _own(whole)
    elif whole and all(name.startswith("/") for name in whole):
        backup = _foreign(whole)
    else:
        raise _refusal(f'is not a backup: "format" must be "{FORMAT}"')
    _refuse(problems(backup.content))
    return backup


def _loaded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise _refusal(f"is not JSON: {exc}") from exc


def _foreign(whole: dict[str, Any]) -> Backup:
    try:
        content, notes = foreignbackup.content(whole)
    except ValueError as exc:
        raise _refusal(str(exc)) from exc
    return Backup(content, notes=tuple(notes), foreign=True)


def _own(whole: dict[str, Any]) -> Backup:
    inside, schema = whole.get("content"), whole.get("schema")
    if not isinstance(inside, dict) or not isinstance(schema, int):
        raise _refusal('is damaged: "content" or "schema" is missing')
    if whole.get("sha256") != digest(inside):
        raise _refusal('is damaged: its content does not have the SHA-256 that it names under "sha256"')
    found: list[str] = []
    given = upgraded(inside, schema)
    content = Content.ordered(
        networks=list(_records(Network, given.get("networks"), "networks", found)),
        nodes=list(_records(Node, given.get("nodes"), "nodes", found)),
        vms=list(_records(VM, _joined(given.get("vms")), "vms", found)),
        ovas=list(_records(OVA, given.get("ovas"), "ovas", found)),
    )
    locked = _locked(whole.get("secrets"), found)
    _refuse(found)
    notes = tuple(_unread(whole.get("unread")))
    return Backup(content, str(whole.get("cluster") or ""), notes, locked=locked, bound=_bound(whole))


def upgraded(
    content: dict[str, Any], schema: int, upgrades: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = UPGRADES
) -> dict[str, Any]:
    """The content as this version has it. Raises InvalidInput for a schema that it does not know."""
    newest = max(upgrades, default=SCHEMA - 1) + 1
    if schema > newest:
        raise _refusal(f"was written by a newer pvc: it has schema {schema}, this pvc knows {newest}")
    while schema < newest:
        if schema not in upgrades:
            raise _refusal(f"has schema {schema}, which no pvc has written")
        content, schema = upgrades[schema](content), schema + 1
    return content


def _joined(vms: Any) -> Any:
    """Lines of XML as one text; what is not as it should be is left to be told."""
    if not isinstance(vms, list):
        return vms
    return [{**vm, "xml": _text(vm.get("xml"))} if isinstance(vm, dict) else vm for vm in vms]


def _text(lines: Any) -> Any:
    return "\n".join(lines) if isinstance(lines, list) and all(isinstance(line, str) for line in lines) else lines


def _records(kind: type[_R], given: Any, name: str, found: list[str]) -> Iterator[_R]:
    """found: gets what is wrong with those that are left out."""
    if not isinstance(given, list):
        found.append(f'"{name}" is not a list')
        return
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    for number, one in enumerate(given):
        where = f"record {number} of {name}"
        if isinstance(one, dict) and (odd := sorted(one.keys() - known)):
            found.append(f'{where} has the unknown field "{odd[0]}"')
            continue
        try:
            yield bare(msgspec.convert(one, kind))
        except msgspec.ValidationError as exc:
            found.append(f"{where}: {exc}")


def _locked(given: Any, found: list[str]) -> Locked | None:
    try:
        return None if given is None else msgspec.convert(given, Locked)
    except msgspec.ValidationError as exc:
        found.append(f"secrets: {exc}")
        return None


def _unread(given: Any) -> Iterator[str]:
    for one in given if isinstance(given, list) else []:
        kind, name = (one.get("kind"), one.get("name")) if isinstance(one, dict) else ("record", "?")
        yield f'The {kind} "{name}" could not be read when the backup was taken, and is not restored.'


def bare(record: _R) -> _R:
    """The record without what is volatile: what is under way, and what an agent says of itself when it joins."""
    if isinstance(record, VM):
        return replace(record, task="", moving=None)
    if isinstance(record, Node):
        settled = DomainState.READY if record.domain_state is DomainState.UNFLUSH else record.domain_state
        return replace(record, peer="", fingerprint="", pvc_version="", task="", domain_state=settled)
    return record


def _refuse(found: list[str]) -> None:
    if found:
        more = f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
        raise _refusal(f"cannot be restored: {'; '.join(found[:_MOST_TOLD])}{more}")


def _refusal(problem: str) -> InvalidInput:
    return InvalidInput({"cluster_data": problem})
