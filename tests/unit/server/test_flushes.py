"""Asking for a node to be emptied. tests/unit/agent has how it is seen through."""

from __future__ import annotations

import pytest

from pvc.model.records import TaskStatus
from tests.parts import documents
from tests.unit.server.site import Site


async def test_a_flush_is_a_task_that_the_node_names(site: Site) -> None:
    await site.running()
    answer = await site.ask("POST", "/node/hv1/domain-state", {"state": "flush"})
    assert (answer.status, answer.message) == (200, 'Flushing hypervisor "hv1" of running VMs.')
    task = (await site.state.task(answer.body["task"])).record
    assert (task.kind, task.target, task.node, task.total) == ("flush", ("node", "hv1"), "hv1", 1)
    assert (await site.state.node("hv1")).record.task == task.id
    shown = await site.ask("GET", "/node/hv1/domain-state")
    assert shown.body == {"name": "hv1", "domain_state": "flush"}
    again = await site.ask("POST", "/node/hv1/domain-state", {"state": "flush"})
    assert again.body["task"] == task.id
    await site.ask("POST", f"/tasks/{task.id}", {"action": "cancel"})
    assert (await site.state.task(task.id)).record.cancel


async def test_ready_ends_the_flush_that_is_under_way(site: Site) -> None:
    flush = await site.ask("POST", "/node/hv1/domain-state", {"state": "flush"})
    ready = await site.ask("POST", "/node/hv1/domain-state", {"state": "ready"})
    assert ready.message == 'Restoring hypervisor "hv1" to active service.'
    ended = (await site.state.task(flush.body["task"])).record
    assert (ended.status, ended.problem["code"]) == (TaskStatus.CANCELLED, "cancelled")
    assert ready.body["task"] in ended.problem["message"]


async def test_what_is_so_already_is_said(site: Site) -> None:
    answer = await site.ask("POST", "/node/hv1/domain-state", {"state": "ready", "wait": "true"})
    assert (answer.message, answer.body["task"]) == ('Hypervisor "hv1" is already ready.', "")
    assert await site.tasks() == []


@pytest.mark.parametrize(("path", "method"), [("domain-state", "POST"), ("flush-plan", "GET")])
async def test_a_node_that_is_not_there_is_not_found(site: Site, path: str, method: str) -> None:
    params = {"state": "flush"} if method == "POST" else {}
    answer = await site.ask(method, f"/node/hv9/{path}", params)
    assert (answer.status, answer.message) == (404, 'No node "hv9".')


async def test_the_plan_names_what_stays_and_why(site: Site) -> None:
    await site.pool.create("own", 4096)
    await site.define("web1", documents.disk("local/own"))
    await site.define("web2")
    answer = await site.ask("GET", "/node/hv1/flush-plan")
    assert (answer.body["name"], answer.body["moves"]) == ("hv1", [])
    assert {one["vm"]: one["reason"] for one in answer.body["stays"]} == {
        "web1": 'VM "web1" has the volume "local/own" in a pool that only node "hv1" can open',
        "web2": "there is no other node",
    }
    first = answer.body["stays"][0]
    assert (first["way"], first["shutdown"], first["running"], first["memory"]) == ("off", "no", False, 64)
