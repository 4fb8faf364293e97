"""How the cluster is: counts, what is wrong, and maintenance."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pvc import __version__
from pvc.cluster import nodes
from pvc.errors import PoolUnavailable
from pvc.model.records import DaemonState, Desired, Node, NodeStatus, Observed, Power, Role
from pvc.storage.administration import Check
from pvc.storage.base import Volume
from pvc.store.base import Create
from pvc.store.paths import MAINTENANCE
from tests.unit.server.site import NODE, TOKENS, Site


async def status(site: Site) -> dict[str, Any]:
    answer = await site.ask("GET", "/status")
    assert answer.status == 200, answer.body
    return dict(answer.body)


async def node_runs(site: Site, version: str = __version__, **more: Any) -> None:
    await nodes.join(site.state, Node(name=NODE, pvc_version=version))
    await nodes.publish(site.state, NODE, NodeStatus(daemon=DaemonState.RUN, **more))


async def test_a_cluster_in_which_all_is_well_has_no_reasons(bare: Site) -> None:
    await node_runs(bare)
    await bare.define("web1")
    shown = await status(bare)
    assert (shown["cluster_health"], shown["alarm"]) == ({"health": 100, "messages": []}, "none")
    assert shown["node_health"] == {NODE: {"health": 100, "messages": []}}
    assert (shown["nodes"], shown["vms"]) == ({"total": 1, "run,ready": 1}, {"total": 1, "stop": 1})
    assert (shown["osds"], shown["pools"], shown["volumes"]) == ({"total": 1, "up,out": 1}, 1, 0)
    assert (shown["maintenance"], shown["pvc_version"]) == ("false", __version__)


async def test_everything_that_is_wrong_is_said_with_its_points(bare: Site) -> None:
    await node_runs(bare, "0.9.0")
    uuid = await bare.define("web1")
    held = await bare.state.vm(uuid)
    await bare.state.write_vm(held, replace(held.record, desired=Desired.RUNNING, run=1))
    seen = {uuid: Observed(power=Power.OFF, over_run=1, failure="out of smoke")}
    told = NodeStatus(daemon=DaemonState.RUN, vms=seen, strays=("old",))
    await nodes.publish(bare.state, NODE, told)
    bare.ceph.checks = [Check("OSD_DOWN", "HEALTH_WARN", "1 osds down")]
    shown = await status(bare)
    assert [(one["kind"], one["points"], one["text"]) for one in shown["reasons"]] == [
        ("node", 10, 'Node "hv1": Domains run here that pvc does not know: old.'),
        ("node", 10, f'Node "hv1" runs pvc 0.9.0, this server {__version__}.'),
        ("vm", 25, 'VM "web1" is in state "fail": out of smoke.'),
        ("ceph", 10, "Ceph: 1 osds down."),
    ]
    assert shown["cluster_health"]["health"] == 45
    assert shown["cluster_health"]["messages"] == [one["text"] for one in shown["reasons"]]
    assert shown["alarm"] == "critical"


async def test_a_record_that_cannot_be_read_is_counted_and_said(bare: Site) -> None:
    await node_runs(bare)
    uuid = "9f6b2d4e-0000-4000-8000-000000000001"
    await bare.state.store.commit(Create(bare.state.paths.vm(uuid), b"{torn"))
    await bare.ask("GET", "/vm", headers={"X-PVC-Revision": str(bare.state.store.revision)})
    shown = await status(bare)
    assert shown["vms"] == {"total": 1, "fail": 1}
    assert shown["cluster_health"]["messages"][0].startswith(f'VM "{uuid}" is in state "fail": Its record cannot be')


class Damaged:
    """A pool of which one part is not as it should be."""

    def __init__(self, pool: Any, silent: bool) -> None:
        self._pool, self._silent = pool, silent

    async def volumes(self) -> list[Volume]:
        if self._silent:
            raise PoolUnavailable(name="local", reason="no answer")
        return [Volume("bad", 0, None, problem="It is no file")]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


async def test_storage_that_is_wrong_or_silent_is_said_and_the_rest_is_told(bare: Site) -> None:
    from pvc.server.parts import POOLS

    await node_runs(bare)
    pools: Any = bare.app[POOLS]
    pools["local"] = Damaged(bare.pool, silent=False)
    shown = await status(bare)
    assert shown["cluster_health"] == {"health": 90, "messages": ['Volume "local/bad": It is no file.']}
    pools["local"] = Damaged(bare.pool, silent=True)
    shown = await status(bare)
    assert shown["cluster_health"] == {"health": 50, "messages": ['Pool "local" is not available: no answer']}
    assert (shown["nodes"]["total"], shown["pools"]) == (1, 1)
    pools["local"] = bare.pool


async def test_maintenance_is_begun_once_shown_and_ended(bare: Site) -> None:
    await node_runs(bare, strays=("old",))
    for state, said in (
        ("true", "Successfully set cluster in maintenance mode."),
        ("true", "Cluster is already in maintenance mode."),
    ):
        assert (await bare.ask("POST", "/status", {"state": state})).message == said
    shown = await status(bare)
    assert (shown["maintenance"], shown["alarm"], shown["maintenance_by"]) == ("true", "silenced", "root")
    assert len(shown["cluster_health"]["messages"]) == 1
    for said in ("Successfully set cluster in normal mode.", "Cluster is already in normal mode."):
        assert (await bare.ask("POST", "/status", {"state": "false"})).message == said
    shown = await status(bare)
    assert (shown["maintenance"], shown["alarm"], shown["maintenance_since"]) == ("false", "warning", None)


async def test_a_damaged_record_of_maintenance_is_maintenance_and_can_be_ended(bare: Site) -> None:
    await bare.state.store.commit(Create(MAINTENANCE, b"{torn"))
    await bare.ask("GET", "/vm", headers={"X-PVC-Revision": str(bare.state.store.revision)})
    assert (await status(bare))["maintenance"] == "true"
    assert (await bare.ask("POST", "/status", {"state": "no"})).message == "Successfully set cluster in normal mode."


async def test_maintenance_is_for_those_who_keep_the_cluster(bare: Site) -> None:
    url = f"http://127.0.0.1:{bare.port}/api/v1/status"
    for role, code in ((Role.OPERATE, 403), (Role.ADMIN, 200)):
        async with bare.network.post(url, params={"state": "true"}, headers={"X-Api-Key": TOKENS[role]}) as answer:
            assert answer.status == code


async def test_a_cluster_without_nodes_is_not_well(bare: Site) -> None:
    shown = await status(bare)
    said = ["The cluster has no nodes: no agent has joined it."]
    assert (shown["cluster_health"], shown["alarm"]) == ({"health": 50, "messages": said}, "critical")
