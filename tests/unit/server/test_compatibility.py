"""The established API, line by line: each path, parameter and field is there, or docs/compatibility.md says why not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from pvc.cluster import nodes
from pvc.model.records import DaemonState, Node, NodeStatus, Observed, Power, Use
from pvc.server.endpoints import ENDPOINTS, Endpoint
from tests.parts import documents
from tests.unit.server.site import BASE, NODE, Site
from tests.unit.server.table import THERE

_ROOT = Path(__file__).parents[3]
_ESTABLISHED = json.loads((_ROOT / "tests/golden/api/established.json").read_text())
_SAID = (_ROOT / "docs/compatibility.md").read_text()


def section(title: str) -> list[str]:
    """What stands between backquotes in one section, as `GET /path`; one that ends in "/…" stands for all below it."""
    text = _SAID.partition(f"\n## {title}\n")[2]
    return re.findall(r"`((?:[A-Z|]+ )?/\w[^`]*)`", text.partition("\n##")[0])


def is_in(title: str, method: str, path: str) -> bool:
    for entry in section(title):
        methods, _, where = entry.rpartition(" ")
        if methods and method not in methods.split("|"):
            continue
        if path == where or (where.endswith("/…") and path.startswith(where[:-1])):
            return True
    return False


def declared(site: Site) -> dict[str, Endpoint]:
    """By method and path, whatever the parts of the path are called."""
    return {_unnamed(f"{one.method} {one.path}"): one for one in site.app[ENDPOINTS].values()}


def _unnamed(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


@pytest.mark.parametrize("line", _ESTABLISHED["endpoints"])
async def test_an_established_path_is_there_or_said_to_be_missing(bare: Site, line: str) -> None:
    method, path = line.split()
    places = [_unnamed(line) in declared(bare), is_in("Not built yet", method, path), is_in("Left out", method, path)]
    assert sum(places) == 1
    if not places[0]:
        real = re.sub(r"{(\w+)}", lambda part: THERE.get(part[1], "x"), path)
        answer = await bare.ask(method, real)
        assert (answer.status, answer.code) == ((501, "not_built") if places[1] else (404, "no_such_path"))


@pytest.mark.parametrize("line", _ESTABLISHED["endpoints"])
async def test_an_established_parameter_is_taken_or_said_to_be_missing(bare: Site, line: str) -> None:
    endpoint = declared(bare).get(_unnamed(line))
    if endpoint is None:
        return  # the path as a whole is missing, which is said
    known = set(endpoint.params.__struct_encode_fields__)
    missing = set(_ESTABLISHED["endpoints"][line]) - known
    assert {name for name in missing if not _is_said(line.split()[1], name)} == set()


def _is_said(path: str, name: str) -> bool:
    """On one line with the path that it belongs to."""
    lines = _SAID.splitlines()
    return any(f"`{name}`" in line and re.search(rf"{re.escape(path)}[`\s]", line) for line in lines)


SHOWN = {
    "node": "/node",
    "status": "/status",
    "vm": "/vm",
    "vm meta": "/vm/web1/meta",
    "vm tags": "/vm/web1/tags",
    "network": "/network",
    "pool": "/storage/ceph/pool",
    "volume": "/storage/ceph/volume",
    "snapshot": "/storage/ceph/snapshot",
}


MAC = "52:54:00:00:00:09"
# An array for each part of `Use`: every counter is told.
USED = convert([[1] * 10, [1] * 3, {MAC: [1] * 8}, {"vda": [1] * 4}], Use)


@pytest.fixture
async def rich(bare: Site) -> Site:
    """A VM that runs, with a tag, a disk and a NIC, a network, a snapshot; its node tells all of it."""
    await nodes.join(bare.state, Node(name=NODE))
    await nodes.publish(
        bare.state, NODE, NodeStatus(daemon=DaemonState.RUN, cpu_count=8, memory_total=1 << 34, memory_free=1 << 33)
    )
    await bare.ask("POST", "/network", {"vni": 100, "description": "lan", "nettype": "bridged"})
    await bare.pool.create("disk0", 1 << 20)
    await bare.pool.snapshot("disk0", "first")
    devices = (documents.disk("local/disk0"), documents.nic(MAC), "<controller type='usb' model='none'/>")
    uuid = await bare.define("web1", *devices)
    await bare.ask("POST", "/vm/web1/tags", {"action": "add", "tag": "keep"})
    seen = {uuid: Observed(power=Power.RUNNING)}
    await nodes.publish(bare.state, NODE, NodeStatus(daemon=DaemonState.RUN, vms=seen, use={uuid: USED}))
    return bare


@pytest.mark.parametrize("kind", SHOWN)
async def test_an_established_field_is_shown_or_said_to_be_missing(rich: Site, kind: str) -> None:
    answer = await rich.ask("GET", SHOWN[kind])
    assert answer.status == 200
    there = set(_fields(answer.body[0] if isinstance(answer.body, list) else answer.body))
    path = SHOWN[kind].replace("web1", "{vm}")
    missing = set(_ESTABLISHED["fields"][kind]) - there
    assert sorted(name for name in missing if not _is_said(path, name)) == []


def _fields(shown: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in shown.items():
        yield before + name
        if isinstance(value, dict):
            yield from _fields(value, f"{before}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from _fields(value[0], f"{before}{name}[].")


async def test_the_description_has_every_route_and_its_parameters(bare: Site) -> None:
    document = (await bare.ask("GET", "/openapi.json")).body
    told = {f"{method.upper()} {path.removeprefix(BASE)}" for path, one in document["paths"].items() for method in one}
    assert told == {f"{one.method} {one.path}" for one in bare.app[ENDPOINTS].values()}
    console = {one["name"] for one in document["paths"][f"{BASE}/vm/{{vm}}/console"]["get"]["parameters"]}
    assert console == {"vm", "lines", "follow"}
    body = document["paths"][f"{BASE}/vm/{{vm}}/tags"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    change = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert (set(change["properties"]), change["required"]) == ({"action", "tag", "protected"}, ["action", "tag"])
    assert change["additionalProperties"] is False
