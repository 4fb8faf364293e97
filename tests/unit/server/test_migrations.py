"""What is refused before a migration begins, with nothing changed. tests/unit/agent has those that go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from pvc.model.records import (
    VM,
    Desired,
    MigrationMethod,
    Moving,
    Node,
    NodeStatus,
    Observed,
    Power,
    Task,
    TaskStatus,
    encode,
)
from pvc.server.vmview import vm_object
from pvc.store.base import Create
from pvc.units import MIB
from tests.parts import documents
from tests.unit.server.site import Site


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"action": "migrate"}, 409, "fits no other node: there is no other"),
        ({"action": "migrate", "node": "hv1"}, 409, 'is on node "hv1" already'),
        ({"action": "move", "node": "hv1"}, 409, 'is on node "hv1" already'),
        ({"action": "migrate", "node": "hv9"}, 400, 'names no node of this cluster: "hv9"'),
        ({"action": "unmigrate"}, 409, "has not been migrated before"),
        ({"action": "unmigrate", "node": "hv2"}, 400, "is not for unmigrate"),
        ({"action": "migrate", "node": "a/b"}, 400, "node"),
    ],
)
async def test_what_makes_no_sense_is_refused(site: Site, asked: Mapping[str, Any], status: int, says: str) -> None:
    await site.running()
    before = await site.everything()
    answer = await site.ask("POST", "/vm/web1/node", asked)
    assert answer.status == status, answer.body
    assert says in answer.message
    assert await site.everything() == before
    assert await site.tasks() == []


async def test_a_disk_that_only_its_node_can_open_keeps_the_vm_there_by_any_method(site: Site) -> None:
    await site.pool.create("own", MIB)
    uuid = await site.running()
    await site.define("web2", documents.disk("local/own"))
    await site.state.store.commit(Create(site.state.paths.node("hv2"), encode(Node(name="hv2"))))
    for method in MigrationMethod:
        held = await site.state.find_vm("web2")
        await site.state.write_vm(held, replace(held.record, migration_method=method))
        answer = await site.ask("POST", "/vm/web2/node", {"action": "migrate", "node": "hv2"})
        assert (answer.status, answer.code) == (409, "conflict")
        assert 'has the volume "local/own" in a pool that only node "hv1" can open' in answer.message
    assert (await site.state.vm(uuid)).record.node == "hv1"


async def test_where_nothing_fits_each_node_says_why(site: Site) -> None:
    await site.running()
    await site.state.store.commit(Create(site.state.paths.node("hv2"), encode(Node(name="hv2"))))
    answer = await site.ask("POST", "/vm/web1/node", {"action": "migrate"})
    assert (answer.status, answer.code) == (409, "no_room")
    assert answer.message == 'VM "web1" fits no other node: hv2: is dead.'
    answer = await site.ask("POST", "/vm/web1/node", {"action": "migrate", "node": "hv2"})
    assert answer.message == 'VM "web1" cannot go to hv2: is dead.'


async def test_forcing_live_on_a_vm_whose_method_is_shutdown_is_refused(site: Site) -> None:
    await site.running()
    assert (await site.ask("POST", "/vm/web1/meta", {"migration_method": "shutdown"})).status == 200
    answer = await site.ask("POST", "/vm/web1/node", {"action": "migrate", "force_live": "true"})
    assert (answer.status, "contradicts" in answer.message) == (409, True)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (Task(id="t", kind="migrate", target=("vm", "1"), name="w", status=TaskStatus.DONE), "has ended"),
        (Task(id="t", kind="attach", target=("vm", "1"), name="w"), 'is of kind "attach"'),
        (Task(id="t", kind="migrate", target=("vm", "1"), name="w", phase="shutdown"), "asked to shut down"),
    ],
)
async def test_what_cannot_be_cancelled_says_why(site: Site, task: Task, says: str) -> None:
    await site.state.store.commit(Create(site.state.paths.task("t"), encode(task)))
    answer = await site.ask("POST", "/tasks/t", {"action": "cancel"})
    assert (answer.status, says in answer.message) == (409, True)
    assert (await site.state.task("t")).record == task


@pytest.mark.parametrize(("power", "says"), [(Power.RUNNING, ""), (Power.OFF, 'node "hv2" is asked whether it has it')])
def test_a_vm_on_its_way_that_is_not_known_to_run_says_why(power: Power, says: str) -> None:
    moving = Moving(target="hv2", forced_live=True)
    vm = VM(uuid="u", name="web1", xml=documents.vm(), node="hv1", desired=Desired.RUNNING, task="t", moving=moving)
    shown = vm_object(vm, NodeStatus(vms={"u": Observed(power=power)}), {}, doubt="")
    assert shown["state"] == "migrate-live"
    assert says in shown["failed_reason"]
    assert bool(shown["failed_reason"]) is bool(says)


@pytest.mark.parametrize(("kind", "to"), [("migrate", "hv2"), ("upload", "")])
async def test_a_migration_tells_where_it_goes(site: Site, kind: str, to: str) -> None:
    task = Task(id="t", kind=kind, target=("vm", "1"), name="w", node="hv1", args={"target": "hv2"})
    await site.state.store.commit(Create(site.state.paths.task("t"), encode(task)))
    shown = (await site.ask("GET", "/tasks/t")).body
    assert (shown["node"], shown["to"]) == ("hv1", to)
